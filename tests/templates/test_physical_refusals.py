"""Physical backups are not begun with a key that nobody could find again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.templates.rendering import Case, render

KEY = "a-stand-in-for-the-key-of-the-repository"


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"backups_physical_key": "short"}, "there is no key for their repository"),
        ({"backups_physical_key": KEY, "backups_physical_key_kept": " "}, "nobody has said where their key is kept"),
    ],
)  # fmt: skip
def test_a_key_that_is_missing_or_kept_nowhere_else_is_refused(
    said: dict[str, str], refusal: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="does not render") as refused:
        render(Case("lab", "Ubuntu-22"), tmp_path, render_only=["backups"], backups_physical=True, **said)
    assert refusal in " ".join(str(refused.value).split())
