"""`fab db-upgrade` on the controller: which words go together, what is asked of the host, what its answer becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fabfile import backups, namespace
from fabfile.errors import FabError, FailedError, LockedError, RefusedError
from fabfile.hosts import environment
from fabfile.tasks import words
from tests.unit.fabfile.test_usage import fab

STEPS = ("plan", "rehearse", "prepare", "switch", "back", "finish", "cancel")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An inventory that plans 17; the commands that its database host is asked."""
    commands: list[str] = []
    own = environment.variables_of("lab")

    class Planned:
        def of(self, host: str, name: str, default: Any) -> Any:
            return "17" if name == "postgresql_upgrade_to" else own.of(host, name, default)

    def ran(_remote: object, command: str) -> tuple[int, str, str]:
        commands.append(command)
        return 0, json.dumps({"ok": True, "message": "It is done.", "result": {"pause_seconds": 0.5}}), ""

    monkeypatch.setattr("fabfile.backups.asking.environment.variables_of", lambda _: Planned())
    monkeypatch.setattr("fabfile.backups.asking._run", ran)
    return commands


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--to=17"], "one of --plan, --rehearse, --prepare"),
        (["--to=17", "--prepare", "--switch"], "one of --plan, --rehearse, --prepare"),
        (["--plan"], "Say to which major"),
        (["--to=14", "--plan"], "is not a major version of PostgreSQL"),
        (["--to=17;id", "--plan"], "is not a major version of PostgreSQL"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    asked: list[str], typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fab("db-upgrade", *typed, "--env=lab", performed=True) == 2
    assert said in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_one_command_of_the_database_host(
    asked: list[str], step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words.made(namespace).run(["fab", "db-upgrade", "--to=17", f"--{step}", "--env=lab"])
    assert capsys.readouterr().out == "It is done.\n"
    assert asked == [f"sudo -n /usr/local/lib/slipway/database-upgrade --json --app=shop {step} --to=17"]


def test_with_json_the_result_alone_is_printed(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words.made(namespace).run(["fab", "db-upgrade", "--to=17", "--switch", "--json", "--env=lab"])
    assert json.loads(capsys.readouterr().out) == {"pause_seconds": 0.5}


@pytest.mark.parametrize(("to", "planned"), [("17", "no upgrade"), ("16", "an upgrade to 17")])
def test_what_the_inventory_does_not_plan_is_asked_of_no_host(
    to: str, planned: str, request: pytest.FixtureRequest
) -> None:
    commands = request.getfixturevalue("asked") if planned.endswith("17") else []
    with pytest.raises(RefusedError, match=f"The inventory of lab plans {planned}") as refused:
        backups.upgrade(environment.load("lab"), "plan", to)
    assert f'postgresql_upgrade_to: "{to}"' in str(refused.value)
    assert commands == []


@pytest.mark.parametrize(("code", "kind"), [(2, RefusedError), (3, FailedError), (4, LockedError)])
def test_what_the_host_says_stays_what_it_is(
    asked: list[str], code: int, kind: type[FabError], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps({"ok": False, "exit": code, "message": "14 serves, as before."})
    monkeypatch.setattr("fabfile.backups.asking._run", lambda *_: (code, answer, ""))
    with pytest.raises(kind, match="14 serves, as before") as said:
        backups.upgrade(environment.load("lab"), "switch", "17")
    assert type(said.value) is kind


def test_a_host_that_cannot_be_asked_says_what_to_type(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fabfile.backups.asking._run", lambda *_: (1, "", "sudo: a password is required"))
    with pytest.raises(FailedError, match="cannot perform database-upgrade switch") as said:
        backups.upgrade(environment.load("lab"), "switch", "17")
    assert "a password is required" in str(said.value)
    assert "ansible-playbook -i inventory/lab" in str(said.value)
