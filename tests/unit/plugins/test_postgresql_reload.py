"""postgresql_reload lets good files go live and keeps bad ones out."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.unit.plugins.test_postgresql_harness import BINARIES, Postgres, part, run_module

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]


def reload(postgres: Postgres, check: bool = False, **options: Any) -> dict[str, Any]:
    arguments = postgres.arguments | {"server_binary": str(BINARIES / "postgres")} | options
    return run_module("postgresql_reload", arguments, check)


def append(postgres: Postgres, file: str, text: str) -> None:
    with (postgres.data / file).open("a") as opened:
        opened.write(text)


def work_mem(postgres: Postgres) -> str:
    ((value,),) = postgres.sql("SELECT current_setting('work_mem')")
    return str(value)


def test_new_settings_and_rules_are_live_when_it_returns(postgres: Postgres) -> None:
    append(postgres, "postgresql.conf", "work_mem = 7MB\nlog_connections = on\n")
    (postgres.data / "pg_hba.conf").write_text("local all postgres peer map=admin\nlocal all all trust\n")
    answer = reload(postgres)
    assert not answer.get("failed"), answer
    assert (answer["changed"], answer["reloaded"], answer["pending_restart"]) == (True, True, [])
    assert work_mem(postgres) == "7MB"
    postgres.sql("CREATE ROLE guest LOGIN")
    postgres.connect("guest").close()


def test_settings_that_wait_for_a_restart_are_named_with_both_values(postgres: Postgres) -> None:
    append(postgres, "postgresql.conf", "max_connections = 42\nwork_mem = 7MB\n")
    answer = reload(postgres)
    assert answer["pending_restart"] == [{"name": "max_connections", "setting_now": "100", "wanted": "42"}]
    assert work_mem(postgres) == "7MB", "the other settings should have been applied"


BAD_FILES = {
    "an unknown method": (
        "pg_hba.conf",
        "local all all nonsense\n",
        "pg_hba.conf:3: invalid authentication method",
    ),
    "a rule cut short": ("pg_hba.conf", "host all\n", "pg_hba.conf:3: "),
    "a map cut short": ("pg_ident.conf", "admin root\n", "pg_ident.conf:2: "),
    "a value that is none": (
        "postgresql.conf",
        "work_mem = lots\n",
        'invalid value for parameter "work_mem"',
    ),
    "a value for the next start": ("postgresql.conf", "max_connections = many\n", "max_connections"),
    "an unknown setting": (
        "postgresql.conf",
        "wrk_mem = 1MB\n",
        'unrecognized configuration parameter "wrk_mem"',
    ),
    "no setting at all": ("postgresql.conf", "work_mem = = 1\n", "syntax error"),
}


@pytest.mark.parametrize(("file", "text", "complaint"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_named_by_line_and_not_loaded(
    postgres: Postgres, file: str, text: str, complaint: str
) -> None:
    append(postgres, "postgresql.conf", "work_mem = 7MB\n")
    append(postgres, file, text)
    ((before,),) = postgres.sql("SELECT pg_conf_load_time()::text")
    answer = reload(postgres)
    assert answer.get("failed"), answer
    assert complaint in answer["msg"]
    assert any(f"{file}:" in error for error in answer["errors"])
    assert postgres.sql("SELECT pg_conf_load_time()::text") == [(before,)]
    assert work_mem(postgres) == "4MB"


def test_a_bad_value_is_found_although_the_setting_waits_for_a_restart_already(postgres: Postgres) -> None:
    append(postgres, "postgresql.conf", "max_connections = 42\n")
    reload(postgres)
    append(postgres, "postgresql.conf", "max_connections = many\n")
    answer = reload(postgres)
    assert answer.get("failed"), answer
    assert 'invalid value for parameter "max_connections": "many"' in answer["msg"]


@pytest.mark.parametrize(
    ("check", "options", "changed"), [(True, {}, True), (False, {"reload": False}, False)]
)
def test_checking_only_loads_nothing(
    postgres: Postgres, check: bool, options: dict[str, Any], changed: bool
) -> None:
    append(postgres, "postgresql.conf", "work_mem = 7MB\nmax_connections = 42\n")
    answer = reload(postgres, check, **options)
    assert (answer["changed"], answer["reloaded"]) == (changed, False)
    assert [setting["name"] for setting in answer["pending_restart"]] == ["max_connections"]
    assert work_mem(postgres) == "4MB"


def test_a_stopped_server_is_a_sentence(postgres: Postgres) -> None:
    postgres.stop()
    answer = reload(postgres)
    assert answer.get("failed"), answer
    assert "cannot be asked on port 5432" in answer["msg"]


def test_sessions_that_are_open_stay_open(postgres: Postgres) -> None:
    postgres.state({"roles": [{"name": "shop", "login": True, "password": "till"}]})
    with postgres.connect("shop", password="till") as connection:
        assert reload(postgres)["reloaded"]
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.status == psycopg.pq.ConnStatus.OK


def test_every_bad_line_of_an_ident_file_is_found() -> None:
    text = (
        '# comment\nadmin "a # b" postgres # fine\n\nshort line\nmap "open name postgres\nmap a,b postgres\n'
    )
    assert part("ident").ident_faults(text, "pg_ident.conf") == [
        "pg_ident.conf:4: 2 of the 3 fields: map, OS user, database role",
        "pg_ident.conf:5: a quoted name is not closed",
        "pg_ident.conf:6: a field holds more than one value",
    ]
