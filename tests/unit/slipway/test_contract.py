"""What a release says of its service decides how a host starts it, asks it and migrates it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slipway.releases import starting

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host

PLAIN = {"application": "shop:app"}


def declare(host: Host, release: str, said: dict[str, Any], **changes: Any) -> None:
    path = host.release(release) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "service": said, **changes}))


def bundled(
    folder: Path, said: dict[str, Any], files: dict[str, bytes] | None = None, **changes: Any
) -> Path:
    files = files or support.bundle_files()
    told = support.manifest_of(files, service=said, **changes)
    return support.pack(folder / "shop.tar.gz", support.members_of(files, told))


@pytest.fixture
def two(host: Host) -> Host:
    """RELEASE is live in name, OTHER is staged; neither runs."""
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    return host


def test_a_staged_release_has_its_start_program(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = bundled(tmp_path, {**PLAIN, "health": "/healthz"}, schema_head=None)

    slipway(*support.staging(bundle), given=bundle)

    start = host.release(RELEASE) / "start"
    assert start.stat().st_mode & 0o777 == 0o755
    text = start.read_text()
    assert text.startswith(f"#!{host.release(RELEASE)}/venv/bin/python\n")
    assert f"headers=[('X-Release', '{RELEASE}')]" in text
    assert f"uds={str(host.runtime_socket(RELEASE))!r}" in text


def test_a_releases_own_files_lie_where_nginx_looks(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    files = support.bundle_files(application={"shop/web/app.js": "1"})
    bundle = bundled(tmp_path, {**PLAIN, "static": "shop:web"}, files, schema_head=None)

    assert slipway(*support.staging(bundle), given=bundle).code == 0

    link = host.release(RELEASE) / "public/web"
    assert (link / "app.js").read_text() == "1"
    assert link.resolve().is_relative_to(host.release(RELEASE) / "venv")
    assert link.parent.stat().st_mode & 0o777 == 0o755


def test_a_release_without_the_files_that_it_declares_is_not_staged(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    # What others share with it is not its own: another release may bring other files of that name.
    files = support.bundle_files(locked={"tiny/web/app.js": "1"})
    bundle = bundled(tmp_path, {**PLAIN, "static": "tiny:web"}, files, schema_head=None)

    answer = slipway(*support.staging(bundle), given=bundle)

    assert (answer.code, answer.error) == (3, "static-missing")
    assert "files for nginx in tiny:web" in answer.message
    assert not list(host.releases.iterdir())


@pytest.mark.parametrize(
    ("said", "changes", "sentence"),
    [
        ({"application": "shop:app\n", **{}}, {}, "its application is 'shop:app\\n'"),
        ({**PLAIN, "check": ["sh\0"]}, {}, "its check is"),
        ({**PLAIN, "evil": 1}, {}, "it has 'evil', which Slipway does not know"),
        ({**PLAIN, "log_config": "../../../etc/passwd"}, {}, "its log_config is"),
        ("text", {}, "it is no table"),
        (PLAIN, {}, "its schema_head is '0001', and it has no migrations"),
        ({**PLAIN, "migrations": "shop:migrations"}, {"schema_head": None}, "it names no schema_head"),
        ({}, {"schema_head": None}, "it names no schema_head"),
    ],
)
def test_a_bundle_whose_service_cannot_be_used_is_refused_before_anything_changes(
    host: Host, slipway: Slipway, tmp_path: Path, said: Any, changes: dict[str, Any], sentence: str
) -> None:
    bundle = bundled(tmp_path, said, **changes)
    before = support.snapshot(host.root)

    answer = slipway(*support.staging(bundle), given=bundle)

    assert (answer.code, answer.error) == (2, "bundle-manifest")
    assert sentence in answer.message
    assert support.snapshot(host.root) == before


def test_the_gate_asks_the_path_that_the_service_names(two: Host, slipway: Slipway) -> None:
    (two.release(OTHER) / "behaviour").write_text("elsewhere")
    slipway("start", OTHER)
    refused = slipway("gate", OTHER, "--timeout", "1")
    assert (refused.code, refused.error) == (3, "gate-failed")

    declare(two, OTHER, {**PLAIN, "health": "/healthz"}, schema_head=None)
    for words in (["start", OTHER], ["gate", OTHER], ["switch", OTHER], ["settle", OTHER, "--warm", "0"]):
        assert slipway(*words).code == 0

    assert slipway("verify", OTHER).code == 0
    live = slipway("status").result["live"]
    assert (live["release"], live["socket"]["ready"], live["schema_applied"]) == (OTHER, True, "0001")


def test_a_release_that_does_not_say_its_schema_passes_its_gate(two: Host, slipway: Slipway) -> None:
    (two.release(OTHER) / "behaviour").write_text("schemaless")
    slipway("start", OTHER)

    assert slipway("gate", OTHER).code == 0


def test_what_is_applied_is_then_what_the_journal_says(two: Host, slipway: Slipway) -> None:
    (two.release(OTHER) / "behaviour").write_text("schemaless")
    assert slipway("migrate", OTHER).result["to"] == "0002"

    slipway("activate", OTHER)

    assert slipway("status").result["live"]["schema_applied"] == "0002"


def test_a_service_without_migrations_has_none_run(two: Host, slipway: Slipway) -> None:
    declare(two, OTHER, PLAIN, schema_head=None)

    answer = slipway("migrate", OTHER)

    assert (answer.code, answer.json["changed"]) == (0, False)
    assert not (two.root.parent / "fake/logs" / two.migration_unit(OTHER)).exists()


def test_releases_of_before_are_given_a_start_once(two: Host, slipway: Slipway) -> None:
    foreseen = slipway("refit", "--dry-run")
    assert (foreseen.json["changed"], foreseen.result["releases"]) == (True, [RELEASE, OTHER])
    assert not (two.release(RELEASE) / "start").exists()

    done, again = slipway("refit"), slipway("refit")

    assert (done.json["changed"], done.result["releases"]) == (True, [RELEASE, OTHER])
    assert (again.json["changed"], again.result["releases"]) == (False, [])
    text = (two.release(RELEASE) / "start").read_text()
    assert "app='shop.main:application',\n        factory=True" in text
    assert "checking = subprocess.Popen(words(('shop', 'check-config')))" in text
    assert "venv/share/shop/logging.json" in text
    # It says X-Release by itself: uvicorn's would be a second one.
    assert "X-Release" not in text
    assert "MIGRATIONS = {'migrate': ('shop', 'migrate'), 'backfill': ('shop', 'backfill')}" in text


def test_a_start_that_somebody_changed_is_made_anew(two: Host, slipway: Slipway) -> None:
    slipway("refit")
    start = two.release(OTHER) / "start"
    start.write_text("#!/bin/sh\n")

    assert slipway("refit").result["releases"] == [OTHER]
    assert start.read_bytes() == starting.text_of(
        two, OTHER, json.loads((start.parent / "manifest.json").read_text())
    )
    start.chmod(0o777)
    assert slipway("refit").result["releases"] == [OTHER]


def test_a_refit_waits_for_nobody_when_there_is_nothing_to_do(two: Host, slipway: Slipway) -> None:
    slipway("refit")
    before = two.journal.read_bytes()

    assert slipway("refit").code == 0
    assert two.journal.read_bytes() == before


def test_half_built_and_damaged_releases_are_left_alone(two: Host, slipway: Slipway) -> None:
    (two.release(OTHER) / "manifest.json").unlink()
    (two.release(RELEASE) / "manifest.json").write_text("{")

    assert slipway("refit").result["releases"] == []


@pytest.mark.parametrize("point", [1, -1, 2])
def test_a_refit_that_is_killed_is_finished_by_the_next(two: Host, slipway: Slipway, point: int) -> None:
    support.run(two.root, "refit", kill_after=point)

    slipway("refit")

    for release in (RELEASE, OTHER):
        assert starting.is_written(
            two, release, json.loads((two.release(release) / "manifest.json").read_text())
        )


def test_a_process_is_started_by_its_name_and_an_unknown_one_is_refused(two: Host, slipway: Slipway) -> None:
    said = {**PLAIN, "processes": {"worker": "say 'it is' $HOME"}}
    declare(two, OTHER, said, schema_head=None)
    program = two.release(OTHER) / "venv/bin/say"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    program.chmod(0o755)
    slipway("refit")
    start = two.release(OTHER) / "start"

    worker = subprocess.run([start, "worker"], capture_output=True, text=True)
    unknown = subprocess.run([start, "idler"], capture_output=True, text=True)
    migration = subprocess.run([start, "migrate"], capture_output=True, text=True)

    assert worker.stdout == "['it is', '$HOME']\n", worker.stderr
    assert (unknown.returncode, unknown.stderr) == (1, f"Release {OTHER} has no 'idler'; it has worker.\n")
    assert migration.returncode == 1


def test_a_service_that_has_no_migrations_any_more_has_no_schema(two: Host, slipway: Slipway) -> None:
    slipway("migrate", OTHER)
    (two.release(OTHER) / "behaviour").write_text("schemaless")
    declare(two, OTHER, PLAIN, schema_head=None)

    slipway("activate", OTHER)

    assert slipway("status").result["live"]["schema_applied"] is None
