"""slipway as it is installed: one file, the same bytes every time, and what it says to whom."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway.errors import RefusedError
from slipway.host import check_release_id

from fabfile.programs.zipped import build_helper
from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host


@pytest.fixture
def program() -> Iterator[Path]:
    # Readable by every user, as /usr/local/sbin is.
    folder = Path(tempfile.mkdtemp(prefix="sw"))
    folder.chmod(0o755)
    path = folder / "slipway"
    path.write_bytes(build_helper())
    path.chmod(0o755)
    yield path
    shutil.rmtree(folder)


def test_the_program_has_the_same_bytes_whenever_and_wherever_it_is_built(tmp_path: Path) -> None:
    source = support.FILES / "slipway"
    copy = Path(shutil.copytree(source, tmp_path / "slipway"))
    for number, path in enumerate(sorted(copy.glob("*.py"), reverse=True)):
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
        path.chmod(0o600)

    assert build_helper(copy) == build_helper(source)


def test_the_program_contains_nothing_but_its_modules(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(support.FILES / "slipway", tmp_path / "slipway"))
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__/cli.cpython-311.pyc").write_bytes(b"stale")
    (copy / "cli.py~").write_text("stale")

    assert build_helper(copy) == build_helper(support.FILES / "slipway")


@pytest.mark.parametrize("python", ["python3", "python3.10"])
def test_the_program_runs_on_the_hosts_pythons(program: Path, python: str) -> None:
    environment = {**os.environ, "PYENV_VERSION": "3.10.13"} if python == "python3.10" else dict(os.environ)
    works = shutil.which(python) and subprocess.run([python, "-c", ""], env=environment).returncode == 0
    if not works:
        pytest.skip(f"{python} is not installed here; jammy's Python is not covered by this run")

    done = subprocess.run([python, "-I", program, "--help"], capture_output=True, text=True, env=environment)

    assert done.returncode == 0, done.stderr
    assert "exit codes:" in done.stdout


def test_the_callers_directory_and_environment_do_not_decide_what_is_imported(
    program: Path, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a foreign json was imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, cwd=tmp_path, env=environment
    )

    assert re.fullmatch(r"slipway \d+\.\d+\.\d+\n", done.stdout), done.stderr


def test_without_root_it_says_what_to_type(program: Path) -> None:
    options = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}

    done = subprocess.run([program, "status"], capture_output=True, text=True, cwd="/", **options)  # type: ignore[call-overload]

    said = json.loads(done.stdout)
    assert (done.returncode, said["error"]["code"]) == (5, "needs-root")
    assert said["error"]["message"].endswith("Type: sudo slipway status")


@pytest.mark.parametrize(
    "release", ["", ".", "..", "/", "../x", f"{RELEASE}/..", f"{RELEASE}\n", RELEASE.upper(), "current", "-x"]
)
def test_only_a_release_id_becomes_a_path(release: str) -> None:
    with pytest.raises(RefusedError, match="is not a release id"):
        check_release_id(release)


@pytest.mark.parametrize(
    "words",
    [
        ["activate"],
        ["activate", "../../etc"],
        ["activate", RELEASE, "--timeout", "nan"],
        ["stage", "--bundle", "x"],
        ["stage", "--bundle", "x", "--sha256", "abc"],
        ["frobnicate"],
        ["--root", "/tmp", "status"],
        [],
    ],
)
def test_wrong_words_are_refused_and_change_nothing(host: Host, slipway: Slipway, words: list[str]) -> None:
    before = support.snapshot(host.root)

    answer = slipway(*words)

    assert answer.code == 2, answer.json
    assert "Nothing was changed." in answer.message
    assert support.snapshot(host.root) == before


def on_terminal(host: Host, *words: str) -> str:
    """What a person at a terminal sees."""
    reader, writer = pty.openpty()
    process = subprocess.Popen(support.command(host.root, *words), stdout=writer, stderr=writer)
    os.close(writer)
    seen = b""
    try:
        while chunk := os.read(reader, 4096):
            seen += chunk
    except OSError:
        # Linux ends a terminal whose last writer is gone with EIO.
        process.wait()
    os.close(reader)
    return seen.decode().replace("\r\n", "\n")


def test_a_bare_host_has_a_status_and_an_empty_list(host: Host, slipway: Slipway) -> None:
    status = slipway("status")

    assert (status.result["live"], status.result["running"], status.json["changed"]) == (None, [], False)
    assert slipway("list").result == {"releases": []}
    assert "no release is live" in on_terminal(host, "status")
    assert "`fab deploy` brings one" in on_terminal(host, "list")


def test_status_shows_the_live_release_and_what_its_socket_answers(host: Host, slipway: Slipway) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
        slipway("activate", release)

    result = slipway("status").result

    assert (result["live"]["release"], result["previous"]) == (OTHER, RELEASE)
    assert (result["live"]["unit"]["active"], result["live"]["unit"]["enabled"]) == ("active", True)
    assert (result["live"]["socket"]["ready"], result["live"]["socket"]["body"]) == (
        True,
        {"status": "ready", "schema_applied": "0001"},
    )
    seen = on_terminal(host, "status")
    assert f"live      {OTHER}" in seen
    assert f"ready: HTTP 200, X-Release {OTHER}" in seen
    assert "schema    needs 0001, the database has 0001" in seen


def test_status_shows_a_live_release_that_does_not_answer(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    support.end_units(host.root)

    socket = slipway("status").result["live"]["socket"]

    assert socket["ready"] is False
    assert "refused" in socket["error"]
    assert "no answer" in on_terminal(host, "status")


def test_status_names_the_settings_that_the_live_release_was_started_without(
    host: Host, slipway: Slipway
) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    settings = host.path("/etc/shop/shop.env")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("SHOP_WORKERS=2\n")
    started = host.path(f"/run/shop/{RELEASE}/http.sock").stat().st_mtime

    os.utime(settings, (started - 60, started - 60))
    assert slipway("status").result["live"]["settings_newer"] == []

    os.utime(settings, (started + 60, started + 60))
    assert slipway("status").result["live"]["settings_newer"] == ["/etc/shop/shop.env"]

    # Whom it trusts at the database, it reads when it starts.
    settings.write_text("SHOP_DATABASE_CA=/etc/ssl/slipway/ca.pem\n")
    authority = host.path("/etc/ssl/slipway/ca.pem")
    authority.parent.mkdir(parents=True, exist_ok=True)
    authority.touch()
    os.utime(settings, (started - 60, started - 60))
    os.utime(authority, (started + 60, started + 60))
    assert slipway("status").result["live"]["settings_newer"] == ["/etc/ssl/slipway/ca.pem"]


def test_a_key_of_tokens_is_known_by_a_name_and_never_shown(host: Host, slipway: Slipway) -> None:
    assert slipway("status").result["token_keys"] == {"secret_key": "", "secret_key_previous": ""}
    host.credential("secret_key").parent.mkdir(parents=True)
    host.credential("secret_key").write_text("a key of thirty-two characters!!\n")
    named = slipway("status").result["token_keys"]
    assert named["secret_key"] == hashlib.sha256(b"a key of thirty-two characters!!").hexdigest()[:16]
    assert named["secret_key_previous"] == ""


def test_list_shows_every_release_newest_first(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    host.release(OTHER).mkdir()

    rows = slipway("list").result["releases"]

    assert [(row["release"], row["state"]) for row in rows] == [(OTHER, "half-built"), (RELEASE, "live")]
    assert (rows[1]["unit"], rows[1]["enabled"], rows[1]["schema_head"]) == ("active", True, "0001")
    assert rows[1]["size"] > 0
    assert slipway("list", "--brief").result["releases"][1] == {**rows[1], "size": None}
    table = on_terminal(host, "list").splitlines()
    assert table[0].split()[:3] == ["RELEASE", "STATE", "UNIT"]
    assert table[2].startswith(f"{RELEASE}  live")


def test_on_a_terminal_an_error_is_a_sentence(host: Host) -> None:
    seen = on_terminal(host, "activate", RELEASE)

    assert seen.startswith(f"slipway: Release {RELEASE} is not on this host. Nothing was changed."), seen


def test_a_terminal_gets_json_when_asked(host: Host) -> None:
    assert json.loads(on_terminal(host, "list", "--json"))["command"] == "list"


def test_reading_leaves_the_host_as_it_is(host: Host, slipway: Slipway) -> None:
    before = support.snapshot(host.root)

    slipway("status")
    slipway("list")

    assert support.snapshot(host.root) == before
    assert not host.lock.exists()
