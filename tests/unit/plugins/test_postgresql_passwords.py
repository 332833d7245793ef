"""A stated password logs in, whatever it contains, and only a verifier of it ever reaches the server."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from typing import Any

import psycopg
import pytest

from tests.unit.plugins.test_postgresql_harness import Postgres, part

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]

scram = part("scram")

HOSTILE = {
    "quotes, shell and newline": "'\";$(x)\\n\n`id`%n\\",
    "psql variables": ":'x' :\"y\" \\! id\t\\gexec",
    "one letter": "x",
    "spaces around": "  padded  ",
    "umlauts and emoji": "Grüße 🗝 ключ",
    "decomposed, ligature, no-break space": "e\u0301 \ufb01 \u00a0\u2003x",
    "soft hyphen only maps to nothing": "a\u00adb",
    "right to left": "\u05d0\u05d1\u05d2",
    "mixed directions, which SASLprep forbids": "\u05d0a\u05d1",
    "private use, which SASLprep forbids": "\ue000 pass",
    "1000 characters": "0123456789" * 100,
}


def roles(**passwords: str) -> dict[str, Any]:
    return {"roles": [{"name": name, "login": True, "password": word} for name, word in passwords.items()]}


@pytest.mark.parametrize("password", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_password_logs_in_and_stays(shared_postgres: Postgres, password: str) -> None:
    assert shared_postgres.state(roles(cashier=password))["changed"]
    with shared_postgres.connect("cashier", password=password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("cashier",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        shared_postgres.connect("cashier", password=password + "x")
    again = shared_postgres.state(roles(cashier=password))
    assert not again["changed"], f"a second run changed: {again['statements']}"


def test_psql_logs_in_with_a_hostile_password(shared_postgres: Postgres) -> None:
    password = HOSTILE["quotes, shell and newline"]
    shared_postgres.state(roles(cashier=password))
    host = str(shared_postgres.directory)
    completed = subprocess.run(
        ["psql", "-X", "-A", "-t", "-h", host, "-U", "cashier", "-d", "postgres", "-c", "SELECT 1"],
        env=os.environ | {"PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.stdout, completed.returncode) == ("1\n", 0), completed.stderr


def test_what_the_server_makes_of_a_password_is_recognized(postgres: Postgres) -> None:
    alphabets = [
        "aZ9 '\\",
        "äöß€ﬁ①",
        "\u00a0\u2003\u200b\u00ad",
        "אבג",
        "ключ漢字カタ",
        "\u0301\u0327e",
        "🗝\ue000\u0378",
    ]
    chance = random.Random(20261122)
    words = [
        "".join(chance.choice(chance.choice(alphabets)) for _ in range(1 + number % 9))
        for number in range(400)
    ]
    statements = [
        f"CREATE ROLE \"{number}\" PASSWORD E'{escaped(word)}'" for number, word in enumerate(words)
    ]
    postgres.sql(*statements)
    stored = dict(postgres.sql("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"))
    unlike = [
        ascii(word) for number, word in enumerate(words) if not scram.matches(word, stored[str(number)])
    ]
    assert not unlike, f"the server prepares these passwords differently: {unlike}"


def escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "''")


def test_a_changed_password_replaces_the_old_one(postgres: Postgres) -> None:
    postgres.state(roles(cashier="old"))
    answer = postgres.state(roles(cashier="new"))
    assert answer["statements"] == ["set the password of role cashier"]
    assert answer["diff"]["before"] == "role cashier: another password\n"
    postgres.connect("cashier", password="new").close()
    with pytest.raises(psycopg.OperationalError):
        postgres.connect("cashier", password="old")


def test_a_password_does_not_change_under_who_came_in_by_it(postgres: Postgres) -> None:
    """A pool that holds sessions opens others by the password that it was started with."""
    postgres.state(roles(cashier="old"))
    postgres.sql("ALTER SYSTEM SET listen_addresses = '127.0.0.1'")
    postgres.stop()
    with (postgres.data / "pg_hba.conf").open("a") as rules:
        rules.write("host all cashier 127.0.0.1/32 scram-sha-256\n")
    postgres.port = free_port()
    postgres.start()
    pool = psycopg.connect(
        host="127.0.0.1",
        port=postgres.port,
        user="cashier",
        password="old",
        dbname="postgres",
        application_name="shop/release",
    )
    try:
        for wanted in (roles(cashier="new"), roles(cashier="")):
            said = postgres.refusal(wanted)
            assert "The password of role cashier is to change" in said
            assert "127.0.0.1 shop/release" in said
            assert "fab rotate" in said
        assert not postgres.state(roles(cashier="old"))["changed"]
        # Another login of the same rights is in nobody's way.
        postgres.state(
            {"roles": [{"name": "cashier_b", "login": True, "password": "b", "member_of": ["cashier"]}]}
        )
    finally:
        pool.close()

    deadline = time.monotonic() + 30
    while postgres.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'cashier'"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert postgres.state(roles(cashier="new"))["changed"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_an_md5_password_becomes_a_scram_verifier(postgres: Postgres) -> None:
    postgres.sql("SET password_encryption = 'md5'", "CREATE ROLE cashier LOGIN PASSWORD 'till'")
    assert postgres.state(roles(cashier="till"))["changed"]
    ((stored,),) = postgres.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'cashier'")
    assert scram.is_verifier(stored)


def test_a_password_is_left_alone_unless_stated_and_removed_when_empty(postgres: Postgres) -> None:
    postgres.state(roles(cashier="till"))
    unstated = {"roles": [{"name": "cashier", "login": True}]}
    assert not postgres.state(unstated)["changed"]
    postgres.connect("cashier", password="till").close()
    assert postgres.state(roles(cashier=""))["statements"] == ["remove the password of role cashier"]
    assert not postgres.state(roles(cashier=""))["changed"]


def test_an_expired_password_works_again(postgres: Postgres) -> None:
    postgres.state(roles(cashier="till"))
    postgres.sql("ALTER ROLE cashier VALID UNTIL '2001-01-01'")
    assert postgres.state(roles(cashier="till"))["changed"]
    postgres.connect("cashier", password="till").close()


def test_neither_password_nor_verifier_is_seen_by_log_or_statistics(postgres: Postgres) -> None:
    postgres.sql("CREATE EXTENSION pg_stat_statements")
    answer = postgres.state(roles(cashier="sesame-open"))
    ((stored,),) = postgres.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'cashier'")
    ((texts,),) = postgres.sql("SELECT string_agg(query, ' ') FROM pg_stat_statements")
    salt_and_keys = stored.split("$", 1)[1]
    assert "CREATE ROLE" in postgres.log, "the log of this server does not show statements at all"
    assert "CREATE ROLE" in texts, "pg_stat_statements does not show utility statements at all"
    for place, text in (("server log", postgres.log), ("pg_stat_statements", texts), ("answer", str(answer))):
        assert "sesame-open" not in text, f"the password is in the {place}"
        assert salt_and_keys not in text, f"the verifier is in the {place}"


def test_a_refused_password_statement_shows_no_verifier(postgres: Postgres) -> None:
    postgres.sql("CREATE ROLE cashier")
    wanted = {"roles": [{"name": "cashier", "password": "sesame-open", "settings": {"work_mem": "lots"}}]}
    message = postgres.refusal(wanted)
    assert "Could not set work_mem of role cashier to lots" in message
    assert 'invalid value for parameter "work_mem": "lots"' in message
    assert "Nothing was changed." in message
    assert "SCRAM" not in message + postgres.log
