"""The toolbox's commands: what is refused before a host is asked anything, and that starting them stays cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke import Context, Exit

from fabfile.database import status
from fabfile.tasks import database_toolbox as tasks
from fabfile.tasks import running
from fabfile.tasks.database import db_status


@pytest.fixture(autouse=True)
def _no_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_words: object, **_more: object) -> None:
        raise AssertionError("an SSH connection was opened")

    monkeypatch.setattr(subprocess, "Popen", asked)


def refusal(task: object, *words: object, **more: object) -> str:
    """The sentence of a command that must be refused with exit code 2."""
    with pytest.raises(Exit) as caught:
        task(Context(), *words, **more)  # type: ignore[operator]
    assert caught.value.code == 2
    return str(caught.value)


@pytest.mark.parametrize("pid", ["0", "-1", "abc", "1;2", "99999999999", "\u0661", "1.5"])
def test_what_is_no_pid_is_refused(pid: str) -> None:
    assert "is no pid; fab db-activity shows them. Nothing was done." in refusal(tasks.db_kill, pid)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
@pytest.mark.parametrize(
    "task", [tasks.db_locks, tasks.db_top, tasks.db_bloat, tasks.db_indexes, tasks.db_sizes]
)
def test_a_limit_that_is_none_is_refused(task: object, limit: int) -> None:
    assert "is not a number from 1 to 10000" in refusal(task, limit=limit)


def test_a_watch_is_no_json() -> None:
    assert "give one of them" in refusal(tasks.db_activity, watch="2", json=True)
    assert "--watch x is not a number of seconds" in refusal(tasks.db_activity, watch="x")


def test_a_role_that_nobody_can_be_is_refused() -> None:
    assert "--role postgres is none of slipway_ops, slipway_backup, slipway_signal" in refusal(
        tasks.db_shell, role="postgres"
    )


def test_a_statement_to_explain_is_one_of_two(tmp_path: Path) -> None:
    file = tmp_path / "statement.sql"
    file.write_text("SELECT 1")
    assert "Give --query-id ID" in refusal(tasks.db_explain)
    assert "Give --query-id ID" in refusal(tasks.db_explain, query_id="1", file=str(file))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 1_000_001, b"", b"DROP TABLE orders"])
def test_a_file_that_cannot_be_explained_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "statement.sql"
    file.write_bytes(content)
    assert "Nothing was run." in refusal(tasks.db_explain, file=str(file))


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert "cannot be read as text" in refusal(tasks.db_explain, file=str(tmp_path / "none.sql"))


def test_an_environment_that_is_none_is_refused() -> None:
    assert "is not the name of an environment" in refusal(tasks.db_sizes, env="-oProxyCommand=x")


def test_naming_the_tasks_loads_no_machinery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    heavy = "psycopg", "rich", "pglast", "jinja2.nativetypes"
    program = f"import sys, fabfile; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.strip()
    assert "psycopg" not in loaded
    assert "pglast" not in loaded


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"section": "nonsense"}, "There is no section 'nonsense'"),
        ({"watch": "x"}, "--watch x is not a number of seconds"),
        ({"watch": "2", "json": True}, "goes with a screen"),
        ({"limit": "0"}, "--limit 0 is not a number of seconds"),
        ({"env": "-oProxyCommand=x"}, "is not the name of an environment"),
    ],
)
def test_a_refusal_of_db_status_is_no_level(
    wish: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "env" not in wish:
        monkeypatch.setattr(running, "chosen", lambda _env: None)
    with pytest.raises(Exit) as caught:
        db_status(Context(), **wish)
    assert caught.value.code == 3
    assert sentence in str(caught.value)


def test_a_fault_of_db_status_itself_is_no_level(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "chosen", lambda _env: None)
    monkeypatch.setattr(status, "run", lambda *_words, **_more: 1 // 0)
    with pytest.raises(Exit) as caught:
        db_status(Context())
    assert caught.value.code == 4
    assert "says nothing of the database" in str(caught.value)
    assert "ZeroDivisionError" in capsys.readouterr().err
