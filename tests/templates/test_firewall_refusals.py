"""A rule of the inventory that names nobody lets nobody in by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.templates.rendering import Case, render


@pytest.mark.parametrize("nobody", [[], "", None])
def test_a_rule_whose_addresses_are_missing_is_refused_and_not_for_everybody(
    tmp_path: Path, nobody: object
) -> None:
    rule = {"port": 9000, "why": "administration", "from": nobody}
    with pytest.raises(AssertionError, match="does not render") as refused:
        render(
            Case("lab", "Ubuntu-22"),
            tmp_path,
            render_only=["firewall"],
            firewall_enabled=True,
            firewall_allow=[rule],
        )
    said = " ".join(str(refused.value).split())
    assert "a rule of firewall_allow has a from without an address" in said
    assert "Nothing was changed." in said
