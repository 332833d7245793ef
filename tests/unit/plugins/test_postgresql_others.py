"""Rows of the inventory let others into the cluster; a row that is none is refused before a file is written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.contract import repository
from tests.unit.plugins.ansible_run import Outcome, play

GOOD = {
    "type": "hostssl",
    "database": "crm",
    "user": "crm",
    "address": "10.0.0.0/8",
    "method": "scram-sha-256",
}
LOCAL = {"type": "local", "database": "all", "user": "+readers,ada", "method": "peer", "options": "map=crm"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two-lines": (
        {**GOOD, "database": "crm\nlocal all all trust"},
        "database or user in postgresql_hba_extra is",
    ),
    "comment": ({**GOOD, "user": "crm # "}, "database or user in postgresql_hba_extra is 'crm # '"),
    "no-address": ({**GOOD, "address": "everywhere"}, "address in postgresql_hba_extra is 'everywhere'"),
    "option-of-two-lines": (
        {**GOOD, "options": "map=x\nhost all all all md5"},
        "options in postgresql_hba_extra is",
    ),
    "local-with-address": (
        {**LOCAL, "address": "10.0.0.1"},
        "postgresql_hba_extra is 'local', not rows of which",
    ),
    "host-without": (
        {name: value for name, value in GOOD.items() if name != "address"},
        "postgresql_hba_extra is 'hostssl', not rows of which",
    ),
}
PREFLIGHT = {"name": "postgresql", "tasks_from": "preflight"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The role's preflight on a host with good rows, and on one for each that is wrong."""
    rows = {"good": [GOOD, LOCAL], **{name: [row] for name, (row, _) in WRONG.items()}}
    facts = {"postgresql_clusters": [], "memtotal_mb": 2000, "cacheable": True}
    tasks = [
        {"name": "Facts", "ansible.builtin.set_fact": facts},
        {"name": "Check", "ansible.builtin.include_role": PREFLIGHT},
    ]
    return play(
        tmp_path_factory.mktemp("others"), tasks, hosts=",".join(rows), rows=rows, app_name="shop",
        postgresql_hba_extra="{{ rows[inventory_hostname] }}",
    )  # fmt: skip


def said_of(outcome: Outcome, host: str) -> str:
    """What refused a host, with all white space as one blank; nothing when it passed."""
    return " ".join(
        " ".join(str(result.get("msg", "")).split())
        for _, of, result in outcome.rows
        if of == host and result.get("failed")
    )


def test_rows_that_are_right_pass(outcome: Outcome) -> None:
    assert said_of(outcome, "good") == "", outcome.printed


@pytest.mark.parametrize("host", WRONG)
def test_a_row_that_is_wrong_is_refused_in_a_sentence(outcome: Outcome, host: str) -> None:
    said = said_of(outcome, host)

    assert WRONG[host][1] in said, outcome.printed
    assert said.endswith("Nothing was changed.")


def test_nobody_comes_in_without_proof() -> None:
    row = repository.options("postgresql")["postgresql_hba_extra"]["options"]

    assert not {"trust", "password", "ident"} & set(row["method"]["choices"])
