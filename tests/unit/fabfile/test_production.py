"""Whatever changes something, or costs customers something, has to be meant in production, and in every task alike."""

from __future__ import annotations

import dataclasses
import sys
from io import StringIO

import pytest
from invoke.parser import ParserContext

from fabfile import exit_codes
from fabfile.hosts import environment
from tests.unit.fabfile.test_rollouts import World, world
from tests.unit.fabfile.test_usage import fab
from tests.unit.fabfile.test_words import TASKS

__all__ = ["world"]
# They only look; build, image and check-service make files here.
READING = {
    "alerts", "build", "check-service", "doctor", "help", "image", "status", "releases", "logs", "audit", "diagnose",
    "migrate-plan", "migrate-history", "backfill-status", "db-status", "db-activity", "db-locks", "db-top", "db-bloat",
    "db-backups", "db-indexes", "db-sizes", "db-shell",
}  # fmt: skip
# They change the containers of the machine that they are typed on: there is no environment to mistake for another.
OF_THIS_MACHINE = {"image-deploy", "image-rollback"}
RELEASE = "20261121T100000Z-aaaaaa1"
# What each is typed with, beside its environment.
TYPED = {
    "maintenance": ["--on"],
    "exec": ["--words=purge"],
    "drain": ["--host=app-1"],
    "undrain": ["--host=app-1"],
    "lock": ["--reason=incident"],
    "mark-bad": [f"--release={RELEASE}", "--reason=it fails"],
    "backfill-run": ["--name=fill"],
    "backfill-pause": ["--name=fill"],
    "backfill-resume": ["--name=fill"],
    "db-kill": ["42"],
    "db-explain": ["--query-id=1", "--analyze"],
    "db-restore": ["--into=scratch"],
    "db-upgrade": ["--to=17", "--switch"],
    "silence": ["--alert=HostDown", "--lasting=2h", "--reason=its power supply is changed"],
}
CHANGING = [task for task in TASKS if task.name not in READING | OF_THIS_MACHINE]


@pytest.mark.parametrize("task", CHANGING, ids=lambda task: str(task.name))
def test_a_task_that_changes_something_asks_in_production(
    task: ParserContext, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "yes" in task.args
    assert task.args["yes"].help == "go ahead in production, and do not ask"
    production = dataclasses.replace(world.environment, name="production", kind="production")
    monkeypatch.setattr(environment, "load", lambda _: production)
    monkeypatch.setattr(sys, "stdin", StringIO(""))

    ended = fab(str(task.name), *TYPED.get(str(task.name), []), "--env=production", performed=True)

    assert ended == (exit_codes.NOT_RUN if task.name == "exec" else 2)
    assert "on production, which is production, needs --yes" in capsys.readouterr().err


def test_the_tasks_that_only_look_are_there() -> None:
    assert {task.name for task in TASKS} >= READING
    assert not [task.name for task in TASKS if task.name in READING and "yes" in task.args]
