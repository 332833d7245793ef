"""docs/service-contract.md says what the code takes: every key, and nothing else."""

from __future__ import annotations

import re

import pytest
import tomllib

from fabfile.bundle.host_rules import declaration_rules
from tests.unit.contract.repository import ROOT

PAGE = (ROOT / "docs/service-contract.md").read_text(encoding="utf-8")


def test_the_table_has_every_key_and_no_other() -> None:
    table = PAGE.partition("## `[tool.slipway]`")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.M)) == declaration_rules.KEYS.keys()


def test_the_page_names_the_units_that_are_slipways_own() -> None:
    assert [name for name in declaration_rules.TAKEN if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.+?)```", PAGE, re.S))
def test_the_examples_of_the_page_are_taken(example: str) -> None:
    said = {"application": "notes.main:app", **tomllib.loads(example)["tool"]["slipway"]}

    assert declaration_rules.complaints(said) == []


def test_the_bundled_service_says_what_is_taken() -> None:
    said = tomllib.loads((ROOT / "service/pyproject.toml").read_text(encoding="utf-8"))["tool"]["slipway"]

    assert declaration_rules.complaints(said) == []
    assert said["application"] == "shop.main:application"
