"""Pages of docs/runbooks for the database: one form, links that lead somewhere, short enough to be read at night."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.database.toolbox_ground import Ground, ground, server

__all__ = ["ground", "server"]
FOLDER = Path(__file__).parents[2] / "docs/runbooks"
PAGES = sorted(FOLDER.glob("db-*.md"))
PARTS = (
    "**What it means.** ",
    "**Confirm**\n\n1. ",
    "**Do now**\n\n1. ",
    "**Do not** ",
    "**It is over when** ",
    "**So that it does not come back:** ",
)


def test_there_are_pages() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_six_parts_in_their_order_and_fits_a_screen(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = [text.find(part) for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)
    assert len(text) < 3000
    assert text.count("`") % 2 == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_link_to_another_of_these_pages_leads_there(page: Path) -> None:
    for target in re.findall(r"\]\((db-[^)#]+)", page.read_text(encoding="utf-8")):
        assert (FOLDER / target).is_file(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_command_of_a_page_is_one_that_there_is(page: Path) -> None:
    from fabfile import namespace

    named = set(re.findall(r"\bfab ([a-z][a-z-]*)", page.read_text(encoding="utf-8")))
    assert named <= set(namespace.task_names)


def test_every_line_that_can_be_critical_has_its_page() -> None:
    from fabfile.database.checks.judging import RUNBOOKS

    assert {f"db-{name}" for name in RUNBOOKS} <= {page.stem for page in PAGES}


@pytest.mark.every_version("the query is sent to servers of every version")
def test_every_query_of_a_page_is_one_that_who_looks_may_ask(ground: Ground) -> None:
    ops = ground.connect("slipway_ops")
    asked = [
        query
        for page in PAGES
        for _, query in re.findall(
            r"""echo (['"])(.+?)\1 \| fab db-shell""", page.read_text(encoding="utf-8")
        )
        if not query.startswith("\\")
    ]
    assert len(asked) > 12
    for query in asked:
        ops.execute(query.encode())
