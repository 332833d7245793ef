"""A set that stands is known by one digest: whatever is amiss with it, the host is asked; nothing amiss, it is not."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import play
from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

from ansible.module_utils.slipway_files import manifest, standing  # isort: skip

__all__ = ["files_host"]


def whole(files_host: FilesHost) -> dict[str, Any]:
    """A set with something of each kind."""
    files_host.path("watched.pem").write_text("first")
    return files_host.wanted(
        files_host.file("a.conf", "one"),
        files_host.file("b.conf", "two", mode="0600"),
        directories=[
            {"path": str(files_host.path("kept")), "owner": "root", "group": "root", "mode": "0750"}
        ],
        links=[{"path": str(files_host.path("link")), "target": "a.conf"}],
        watch=[str(files_host.path("watched.pem")), str(files_host.path("not-there.pem"))],
    )


def stated(files_host: FilesHost) -> dict[str, Any]:
    wanted = whole(files_host)
    answer = files_host.module.state(wanted, manifest.read("shop", "web"), False)
    assert answer["changed"]
    return wanted


def test_what_was_stated_stands(files_host: FilesHost) -> None:
    wanted = stated(files_host)

    assert manifest.standing("shop") == {"web": standing.digest_of_wanted(wanted)}


def edited(files_host: FilesHost) -> None:
    files_host.path("a.conf").write_text("edited")


def removed(files_host: FilesHost) -> None:
    files_host.path("b.conf").unlink()


def opened(files_host: FilesHost) -> None:
    files_host.path("b.conf").chmod(0o644)


def given_away(files_host: FilesHost) -> None:
    os.chown(files_host.path("a.conf"), 1, 1)


def owned_by_nobody_known(files_host: FilesHost) -> None:
    os.chown(files_host.path("a.conf"), 54321, 0)


def folder_opened(files_host: FilesHost) -> None:
    files_host.path("kept").chmod(0o777)


def link_turned(files_host: FilesHost) -> None:
    files_host.path("link").unlink()
    files_host.path("link").symlink_to("b.conf")


def link_replaced(files_host: FilesHost) -> None:
    files_host.path("link").unlink()
    files_host.path("link").write_text("one")


def file_is_a_link(files_host: FilesHost) -> None:
    files_host.path("a.conf").rename(files_host.path("elsewhere"))
    files_host.path("a.conf").symlink_to("elsewhere")


def certificate_renewed(files_host: FilesHost) -> None:
    files_host.path("watched.pem").write_text("second")


def certificate_came(files_host: FilesHost) -> None:
    files_host.path("not-there.pem").write_text("now")


FAULTS = [
    edited,
    removed,
    opened,
    given_away,
    owned_by_nobody_known,
    folder_opened,
    link_turned,
    link_replaced,
    file_is_a_link,
    certificate_renewed,
    certificate_came,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_set_that_drifted_does_not_stand(files_host: FilesHost, fault: Callable[[FilesHost], None]) -> None:
    wanted = stated(files_host)

    fault(files_host)

    assert manifest.standing("shop").get("web") != standing.digest_of_wanted(wanted)


@pytest.mark.parametrize(
    "other",
    [
        {"files": []},
        {"directories": []},
        {"links": []},
        {"watch": []},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_set_is_not_the_one_that_stands(files_host: FilesHost, other: dict[str, Any]) -> None:
    wanted = stated(files_host)

    assert manifest.standing("shop")["web"] != standing.digest_of_wanted({**wanted, **other})


def test_a_set_that_waits_for_its_handler_does_not_stand(files_host: FilesHost) -> None:
    wanted = {**whole(files_host), "has_handler": True}

    files_host.module.state(wanted, manifest.read("shop", "web"), False)
    assert manifest.standing("shop") == {}

    files_host.module.confirm({"app": "shop", "name": "web"}, manifest.read("shop", "web"), False)
    assert manifest.standing("shop") == {"web": standing.digest_of_wanted(wanted)}


def test_the_record_of_an_earlier_slipway_says_nothing_until_the_set_is_stated_again(
    files_host: FilesHost,
) -> None:
    wanted = stated(files_host)
    record = Path(manifest.path_of("shop", "web"))
    earlier = json.loads(record.read_text())
    del earlier["beside"]
    record.write_text(json.dumps(earlier))

    assert manifest.standing("shop") == {}

    assert not files_host.module.state(wanted, manifest.read("shop", "web"), False)["changed"]
    assert manifest.standing("shop") == {"web": standing.digest_of_wanted(wanted)}


def test_a_set_that_stands_costs_no_round_trip_and_one_that_does_not_is_sent(tmp_path: Path) -> None:
    entry = {"path": "/nowhere/a.conf", "content": "one", "owner": "root", "group": "root", "mode": "0644"}
    row = ["files", entry["path"], "root", "root", "0644"]
    digest = standing._digest([(*row, hashlib.sha256(b"one").hexdigest())])
    arguments = {"name": "web", "files": [entry]}

    outcome = play(
        tmp_path,
        [
            {"name": "Facts", "ansible.builtin.set_fact": {"standing": {"web": digest}, "cacheable": True}},
            {"name": "stands", "host_files": arguments},
            {"name": "differs", "host_files": {**arguments, "files": [{**entry, "mode": "0600"}]}},
        ],
        hosts="nobody",
        ansible_python_interpreter="/nonexistent/python3",
    )

    assert outcome.result("stands")["changed"] is False
    assert outcome.result("differs")["failed"], "a set that does not stand has to be sent to the host"
