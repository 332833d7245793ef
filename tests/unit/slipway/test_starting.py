"""A release's `start`, word for word: what it does is decided by what the release says, whatever that is."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fabfile.bundle.host_rules import Declaration, declaration_rules, starting

GOLDEN = Path(__file__).with_name("golden")
RELEASE = "20261122T160501Z-3f2a9c1"
FULL = {
    "application": "notes.main:create",
    "factory": True,
    "preload": True,
    "health": "/health",
    "check": "notes check --quick",
    "log_config": "share/notes/logging.json",
    "websockets": True,
    "migrations": "notes:migrations",
    "environment": {"DATABASE_URL": "url", "POSTGRES_SERVER": "host", "SECRET_KEY": "credential:secret_key"},
    "driver": "psycopg",
    "processes": {"worker": "notes work"},
    "timers": {"tidy": {"command": ["notes", "tidy", 'it\'s "old" $1'], "calendar": "hourly"}},
}


def program(
    app: str,
    said: dict[str, Any],
    venv: str = "",
    listening: str | int = "",
    given: dict[str, str] | None = None,
) -> str:
    assert declaration_rules.complaints(said) == []
    return starting.program(
        app,
        Path(venv or f"/srv/{app}/releases/{RELEASE}/venv"),
        listening if isinstance(listening, int) else Path(listening or f"/run/{app}/{RELEASE}/http.sock"),
        RELEASE,
        Declaration.of(app, said),
        given,
    )


@pytest.mark.parametrize(
    ("name", "app", "said"),
    [
        ("start-of-a-plain-service", "hello", {"application": "hello:app"}),
        ("start-of-a-service-that-says-everything", "notes", FULL),
        ("start-of-a-service-that-is-imported-once", "hello", {"application": "hello:app", "preload": True}),
        ("start-of-a-release-of-before", "shop", {"migrations": "shop:migrations"}),
    ],
)
def test_what_is_written_is_this(name: str, app: str, said: dict[str, Any]) -> None:
    assert program(app, said) == (GOLDEN / name).read_text()


def test_in_an_image_it_listens_on_a_port_and_says_its_release_itself() -> None:
    text = program("notes", FULL, "/srv/release/venv", 8000, {"NOTES_RELEASE": RELEASE})

    assert text == (GOLDEN / "start-in-an-image").read_text()


@pytest.mark.parametrize("left", [True, False])
def test_in_an_image_it_can_be_told_to_listen_at_a_socket_whatever_was_left_there(
    tmp_path: Path, left: bool
) -> None:
    start, path = tmp_path / "start", tmp_path / "http.sock"
    start.write_text(program("hello", {"application": "hello:app"}, str(tmp_path / "venv"), 8000))
    (tmp_path / "library").mkdir()
    (tmp_path / "library/uvicorn.py").write_text(
        "import json\n\n\nclass Config:\n    pass\n\n\ndef run(**options):\n    print(json.dumps(options))\n"
    )
    if left:
        with socket.socket(socket.AF_UNIX) as before:
            before.bind(str(path))

    def options(**environment: str) -> dict[str, Any]:
        own = {"PYTHONPATH": str(tmp_path / "library"), **environment}
        done = subprocess.run([sys.executable, start], capture_output=True, text=True, env=own, check=True)
        return dict(json.loads(done.stdout))

    told = options(SLIPWAY_SOCKET=str(path))

    assert (told["uds"], told["forwarded_allow_ips"]) == (str(path), "*")
    assert "port" not in told
    assert not path.exists()
    assert options()["port"] == 8000


@pytest.mark.parametrize(
    "word",
    [
        "'",
        '"',
        "\\",
        "$(id)",
        "`id`",
        "{release}",
        "{{}}",
        "%i",
        "\u00e9\u4e2d\U0001f600",
        "' + __import__('os') #",
    ],
)
def test_no_word_leaves_its_place(word: str) -> None:
    said = {
        "application": "hello:app",
        "check": ["hello", word],
        "processes": {"worker": ["hello", word]},
        "timers": {"tidy": {"command": ["hello", word], "calendar": "daily"}},
    }

    text = program("hello", said)

    plain = program(
        "hello",
        {**said, "check": ["hello", "x"], "processes": {"worker": ["hello", "x"]}}
        | {"timers": {"tidy": {"command": ["hello", "x"], "calendar": "daily"}}},
    )
    found = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert found.count(word) == 3
    assert [type(node) for node in ast.walk(ast.parse(text))] == [
        type(node) for node in ast.walk(ast.parse(plain))
    ]
    assert text.isascii()


LOCAL = {"host": "/var/run/postgresql", "port": "5432"}
REMOTE = {"host": "db.internal", "port": "6432", "password": "p@ss:/w%rdü?#"}
SIX = {"host": "fd00::1", "port": "5432", "password": "x"}
LOCALLY = "notes@/notes?host=%2Fvar%2Frun%2Fpostgresql&port=5432"
REMOTELY = "notes:p%40ss%3A%2Fw%25rd%C3%BC%3F%23@db.internal:6432/notes"


# As SQLAlchemy writes them, and so the migrator, to env.py.
@pytest.mark.parametrize(
    ("where", "driver", "url"),
    [
        (LOCAL, "psycopg", f"postgresql+psycopg://{LOCALLY}"),
        (LOCAL, "asyncpg", f"postgresql+asyncpg://{LOCALLY}"),
        (REMOTE, "psycopg2", f"postgresql+psycopg2://{REMOTELY}"),
        (REMOTE, "asyncpg", f"postgresql+asyncpg://{REMOTELY}?ssl=verify-full"),
        (SIX, "psycopg", "postgresql+psycopg://notes:x@[fd00::1]:5432/notes"),
    ],
)
def test_the_service_is_given_the_address_that_the_migrator_gives(
    tmp_path: Path, where: dict[str, str], driver: str, url: str
) -> None:
    assert given(tmp_path, where, driver)["DATABASE_URL"] == url


def given(folder: Path, where: dict[str, str], driver: str) -> dict[str, str]:
    """The variables that a process of the service finds."""
    said = {
        "application": "notes:app",
        "environment": {"DATABASE_URL": "url", "PASSWORD": "password"},
        "driver": driver,
        "processes": {"show": "show"},
    }
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    show = venv / "bin/show"
    show.write_text(f"#!{sys.executable}\nimport json, os\nprint(json.dumps(dict(os.environ)))\n")
    show.chmod(0o755)
    if "password" in where:
        (folder / "database_password").write_text(where["password"] + "\n", encoding="utf-8")
    start = folder / "start"
    start.write_text(program("notes", said, str(venv)))
    environment = {
        "CREDENTIALS_DIRECTORY": str(folder),
        "NOTES_DATABASE_HOST": where["host"],
        "NOTES_DATABASE_PORT": where["port"],
        "NOTES_DATABASE_NAME": "notes",
        "NOTES_DATABASE_USER": "notes",
        "NOTES_DATABASE_CA": "/etc/ssl/slipway/ca.pem",
    }
    done = subprocess.run([sys.executable, start, "show"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_database_elsewhere_is_believed_by_its_certificate_alone(tmp_path: Path) -> None:
    found = given(tmp_path, REMOTE, "psycopg")

    assert (found["PGSSLMODE"], found["PGSSLROOTCERT"]) == ("verify-full", "/etc/ssl/slipway/ca.pem")
    assert found["PASSWORD"] == REMOTE["password"]


def started(folder: Path, environment: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of a service with these variables of its own, on a host that gives it those."""
    said = {"application": "notes:app", "environment": environment, "driver": "psycopg"}
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/show").write_text("#!/bin/sh\nexec env\n")
    (venv / "bin/show").chmod(0o755)
    (folder / "start").write_text(program("notes", {**said, "processes": {"show": "show"}}, str(venv)))
    return subprocess.run(
        [sys.executable, folder / "start", "show"],
        capture_output=True,
        text=True,
        env={"CREDENTIALS_DIRECTORY": str(folder), **variables},
    )


def test_a_credential_is_given_in_a_variable_of_the_services_own(tmp_path: Path) -> None:
    (tmp_path / "jwt_key").write_text("kept as a file\n")

    done = started(tmp_path, {"SECRET_KEY": "credential:jwt_key"})

    assert "SECRET_KEY=kept as a file\n" in done.stdout, done.stderr
    # No database is spoken of where none is asked for.
    assert "PG" not in done.stdout


@pytest.mark.parametrize("empty", [True, False])
def test_a_credential_that_is_not_there_is_named_and_nothing_is_started(tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / "jwt_key").touch()

    done = started(tmp_path, {"SECRET_KEY": "credential:jwt_key"})

    assert (done.returncode, done.stdout) == (1, "")
    assert "The credential jwt_key, which SECRET_KEY is to have, is missing." in done.stderr


def test_an_address_is_a_host_and_never_the_folder_of_a_socket(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"

    done = started(there, {"POSTGRES_SERVER": "address"}, NOTES_DATABASE_HOST="localhost")
    refused = started(here, {"POSTGRES_SERVER": "address"}, NOTES_DATABASE_HOST="/var/run/postgresql")

    assert "POSTGRES_SERVER=localhost\n" in done.stdout, done.stderr
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is told the folder /var/run/postgresql" in refused.stderr


# What an inventory may set beside.
SETTINGS: dict[str, str] = {}
UVICORN = """\
import gc, json, multiprocessing, os, sys
class Config:
    def load(self):
        print(json.dumps({"looks for garbage while it loads": gc.isenabled()}), flush=True)
def work():
    Config().load()
    print(json.dumps({"and afterwards": gc.isenabled(), "in": gc.get_freeze_count()}), flush=True)
def run(**options):
    print(json.dumps({**options, "started": True, "path": sys.path[0]}), flush=True)
    if "AS_WORKERS" in os.environ:
        # As uvicorn starts them.
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
    elif "ALONE" in os.environ:
        work()
"""


def served(folder: Path, check: str) -> tuple[subprocess.CompletedProcess[str], bytes]:
    """How it ends with a uvicorn that only says what it is given, and what systemd was told."""
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    (venv / "bin/verify").write_text(f"#!/bin/sh\n{check}\n")
    (venv / "bin/verify").chmod(0o755)
    (folder / "library").mkdir()
    (folder / "library/uvicorn.py").write_text(UVICORN)
    start = folder / "start"
    start.write_text(program("hello", {"application": "hello:app", "check": "verify"}, str(venv)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.setblocking(False)
        own = {"NOTIFY_SOCKET": str(folder / "notify"), "PYTHONPATH": str(folder / "library")}
        environment = {**own, **SETTINGS}
        done = subprocess.run([sys.executable, start], capture_output=True, text=True, env=environment)
        try:
            told = systemd.recv(100)
        except BlockingIOError:
            told = b""
    return done, told


def test_the_service_is_started_once_its_check_has_passed(tmp_path: Path) -> None:
    done, told = served(tmp_path, "exit 0")

    said = json.loads(done.stdout)
    assert told == b"READY=1"
    assert (said["app"], said["headers"], said["ws"]) == ("hello:app", [["X-Release", RELEASE]], "none")
    # A folder beside it, such as one called alembic, is nothing to be imported.
    assert said["path"] != str(tmp_path)


@pytest.mark.parametrize("how", ["AS_WORKERS", "ALONE"])
def test_an_application_is_loaded_in_one_go_and_garbage_is_looked_for_beside_it(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, how, "1")

    done, _ = served(tmp_path, "exit 0")

    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[1] == {"looks for garbage while it loads": False}, done.stderr
    assert said[2]["and afterwards"] is True
    assert said[2]["in"] > 0


def test_what_a_setting_keeps_out_of_the_path_costs_it_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "PYTHONSAFEPATH", "1")

    done, _ = served(tmp_path, "exit 0")

    assert json.loads(done.stdout)["path"] == str(tmp_path / "library")


@pytest.mark.parametrize(("check", "status"), [("exit 78", 78), ("kill -9 $$", 137)])
def test_a_service_whose_check_fails_is_not_started_and_ends_as_the_check_did(
    tmp_path: Path, check: str, status: int
) -> None:
    done, told = served(tmp_path, check)

    assert (done.returncode, done.stdout, told) == (status, "", b"")
    assert f"The check of release {RELEASE} ended with" in done.stderr
    assert not os.path.exists(tmp_path / "started")
