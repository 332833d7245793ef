"""A run that dies anywhere is made up for by the next: nothing is lost, and what was not reloaded is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

__all__ = ["files_host"]

# More than the operations of a whole run, so that the last cases see it end by itself.
OPERATIONS = 24


def test_a_run_that_dies_before_its_handler_is_made_up_for_by_the_next(files_host: FilesHost) -> None:
    wanted = files_host.file("site.conf", "text\n")
    files_host.state(wanted, has_handler=True)

    again = files_host.state(wanted, has_handler=True)
    assert again["changed"]
    assert again["written"] == []
    assert again["diff"][0]["before"] == "written by an earlier run, not in force\n"

    confirmed = files_host.state(in_force=True)
    assert confirmed["changed"]
    assert not files_host.state(in_force=True)["changed"]
    assert not files_host.state(wanted, has_handler=True)["changed"]
    assert files_host.path("site.conf").read_text() == "text\n"


def test_a_renewed_certificate_waits_for_its_handler_too(files_host: FilesHost) -> None:
    certificate = files_host.path("host.pem")
    certificate.write_text("first\n")
    watch: dict[str, Any] = {"watch": [str(certificate)], "has_handler": True}
    files_host.state(**watch)
    files_host.state(in_force=True)

    certificate.write_text("second\n")
    assert files_host.state(**watch)["renewed"] == [str(certificate)]
    assert files_host.state(**watch)["changed"], "the daemon still runs with the first certificate"
    files_host.state(in_force=True)
    assert not files_host.state(**watch)["changed"]


def test_what_has_no_handler_waits_for_none(files_host: FilesHost) -> None:
    wanted = files_host.file("site.conf", "text\n")
    files_host.state(wanted)

    assert not files_host.state(wanted)["changed"]


@pytest.mark.parametrize("operations", range(OPERATIONS))
def test_a_run_killed_anywhere_converges_and_keeps_every_original(
    files_host: FilesHost, operations: int
) -> None:
    names = ("a.conf", "b.conf", "c.conf")
    for name in names:
        files_host.path(name).write_text(f"the package's {name}\n")
    wanted = [files_host.file(name, f"ours {name}\n") for name in names]

    files_host.die_after(operations, *wanted, has_handler=True)
    for name in names:
        assert files_host.path(name).read_text() in (f"the package's {name}\n", f"ours {name}\n")

    assert files_host.state(*wanted, has_handler=True)["changed"], "nobody has run the handler yet"
    files_host.state(in_force=True)
    for name in names:
        assert files_host.path(name).read_text() == f"ours {name}\n"
        assert files_host.original(name).read_text() == f"the package's {name}\n"
    assert not files_host.state(*wanted, has_handler=True)["changed"]
    assert not list(files_host.root.rglob("*.slipway-new"))


@pytest.mark.parametrize("operations", range(OPERATIONS))
def test_giving_back_killed_anywhere_gives_back_once(files_host: FilesHost, operations: int) -> None:
    theirs = files_host.path("theirs.conf")
    theirs.write_text("the package's\n")
    files_host.state(files_host.file("theirs.conf", "ours\n"), files_host.file("ours.conf", "ours\n"))

    files_host.die_after(operations)
    files_host.state()

    assert theirs.read_text() == "the package's\n"
    assert not files_host.path("ours.conf").exists()
    assert not files_host.state()["changed"]


def test_the_longest_of_these_runs_ended_by_itself(files_host: FilesHost) -> None:
    names = ("a.conf", "b.conf", "c.conf")
    for name in names:
        files_host.path(name).write_text("the package's\n")

    assert files_host.die_after(OPERATIONS, *(files_host.file(name, "ours\n") for name in names))


def test_the_record_names_every_path_with_its_checksum(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "text\n"))

    record = json.loads(files_host.path("state/files/shop/web.json").read_text())

    assert record["files"] == {str(files_host.path("site.conf")): hashlib.sha256(b"text\n").hexdigest()}
    assert record["pending"] is False
