"""One command, one meaning: short options, exit codes, help; and the words of an inventory for ssh."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from invoke import Exit
from invoke.parser import ParserContext

from fabfile import exit_codes, namespace
from fabfile.errors import FabError, RefusedError, UnfinishedError
from fabfile.hosts import bastion
from fabfile.hosts.environment import Environment
from fabfile.rollout import plan, preflight
from fabfile.tasks import flags, running
from fabfile.traffic import probe
from fabfile.upkeep import audit, overview
from tests.unit.fabfile.fake_fleet import R1, R2, R3
from tests.unit.fabfile.test_choices import fleet, host, row
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["world"]
TASKS: list[ParserContext] = namespace.to_contexts()
NAMES = pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.name))
EXIT_CODES = Path(__file__).parents[3] / "docs/exit-codes.md"


@NAMES
def test_a_short_option_means_the_same_everywhere(task: ParserContext) -> None:
    """invoke makes up a letter for each option of each task: -t was --ticket here and --to there."""
    for argument in task.args.values():
        short = {name for name in argument.names if len(name) == 1}
        assert short <= {flags.SHORT.get(argument.name or "", "")}, f"{task.name} --{argument.name}: {short}"
    for name, letter in flags.SHORT.items():
        assert (name in task.args) == (letter in task.flags or f"-{letter}" in task.flags), (
            task.name,
            letter,
        )


@NAMES
def test_every_option_is_explained(task: ParserContext) -> None:
    for argument in task.args.values():
        assert argument.help, f"{task.name} --{argument.name}"


def test_help_ends_with_the_exit_codes_of_the_task() -> None:
    deploy, status = (namespace.tasks[name].__doc__ or "" for name in ("deploy", "db-status"))
    assert "7  a newer deploy has taken over" in deploy
    assert "2  critical" in status


def test_fab_help_names_every_task_once(capsys: pytest.CaptureFixture[str]) -> None:
    namespace.tasks["help"].body(None)
    named = re.findall(r"^  fab (\S+)", capsys.readouterr().out, re.MULTILINE)
    assert sorted(named) == sorted(name for name in namespace.task_names if name != "help")


def test_the_page_of_exit_codes_is_the_table_in_the_code() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", EXIT_CODES.read_text(), re.MULTILINE))
    assert {int(code): said for code, said in rows.items()} == exit_codes.CODES


def test_every_error_has_a_code_of_the_table() -> None:
    def below(kind: type[FabError]) -> list[type[FabError]]:
        return [kind, *(each for sub in kind.__subclasses__() for each in below(sub))]

    for kind in below(FabError):
        assert kind.exit_code in exit_codes.CODES | exit_codes.EXEC, kind


def test_a_fault_of_fab_itself_is_a_sentence() -> None:
    with pytest.raises(Exit) as ended, running.sentences():
        raise KeyError("schema")
    assert ended.value.code == 1
    assert "A fault in fab itself: KeyError" in str(ended.value.message)


KNOWN = {"h": "192.0.2.7", "p": "2222", "r": "deploy", "n": "app-1"}


@pytest.mark.parametrize(
    ("words", "proxy"),
    [
        ("", ""),
        ("-o ControlMaster=auto -o ControlPersist=60s -C", ""),
        (
            "-o ProxyCommand='ssh -i KEY -W %h:%p root@192.0.2.1'",
            "ssh -i KEY -W 192.0.2.7:2222 root@192.0.2.1",
        ),
        ('-oProxyCommand="nc %h %p"', "nc 192.0.2.7 2222"),
        ("-o ProxyJump=ada@bastion:2200", "ssh -p 2200 -W 192.0.2.7:2222 ada@bastion"),
        ("-J first,second", "ssh -J first -W 192.0.2.7:2222 second"),
        ("-o ProxyJump=none", ""),
    ],
)
def test_the_way_through_a_bastion_is_the_inventorys(words: str, proxy: str) -> None:
    assert bastion.proxy("app-1", words, KNOWN) == proxy


@pytest.mark.parametrize("words", ["-o 'ProxyJump", "-J -oProxyCommand=id", "-o ProxyJump=$(id)"])
def test_words_that_lead_nowhere_are_refused(words: str) -> None:
    with pytest.raises(RefusedError):
        bastion.proxy("app-1", words, KNOWN)


def entry(step: str, phase: str = "note", **more: Any) -> dict[str, Any]:
    return {"step": step, "phase": phase, "time": "2026-11-23T10:00:00.000000Z", "who": "ada", **more}


ENTRIES = [
    entry("deploy.begin"),
    *(entry(step, phase) for step in ("start", "gate", "switch", "settle") for phase in ("begin", "end")),
    entry("lease.acquire", "end"),
    entry("migrate", "begin"),
    entry("migrate", "end"),
    entry("deploy.end"),
]


def test_audit_shows_rollouts_whole_and_everything_when_asked() -> None:
    told = [each["step"] for each in audit.chosen(ENTRIES, audit.Wish(lines=4))]
    assert told == ["deploy.begin", "lease.acquire", "migrate", "deploy.end"]
    assert audit.chosen(ENTRIES, audit.Wish(lines=100, whole=True)) == ENTRIES
    assert audit.chosen(ENTRIES, audit.Wish(since="2026-11-24")) == []


def test_a_moment_is_so_long_ago_or_a_date() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert audit.moment("2h", now) == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert audit.moment("2026-11-23T02:30") == datetime(2026, 11, 23, 2, 30, tzinfo=UTC)


HELD = {
    "holder": "ada",
    "command": "fab deploy",
    "process": "1@ci",
    "since": "10:00",
    "state": "held",
    "idle": 3.0,
    "fence": 4,
}
SERVING = {"socket": {"ready": True}, "unit": {"enabled": True}}
QUIET: dict[str, Any] = {"unfinished": [], "half_built": [], "leftovers": [], "journal_torn": []}


def looked(environment: Environment, public: probe.Answer | str = "", **status: Any) -> overview.Look:
    states = fleet(host("app-1", R2, row(R1), row(R2, "live"), **{**QUIET, **status}))
    states["app-1"].status["live"] |= SERVING
    return overview.Look(environment, states, {}, public)


def test_a_healthy_deploy_is_no_fault_and_is_told_of(world: World) -> None:
    at_work = {
        "lease": HELD,
        "lock": {"command": "slipway stage", "since": "10:01", "who": "deploy"},
        "running": [R2, R3],
    }
    at_work |= {"unfinished": [{"step": "stage", "release": R3}], "half_built": [R3]}
    look = looked(world.environment)
    look.states["app-1"].status.update(at_work)
    assert look.wrong == []
    assert "ada, `fab deploy` as process 1@ci" in look.at_work
    assert overview.busy(look.states["app-1"]) == ["app-1: slipway stage runs since 10:01, by deploy"]


def test_a_freeze_hides_no_fault(world: World) -> None:
    look = looked(world.environment, half_built=[R3])
    look.states["app-1"].status["lease"] = {**HELD, "freeze": "incident 42"}
    assert look.wrong == [f"app-1: half-built: {R3}"]
    assert "incident 42" in look.at_work


def test_an_instance_that_nobody_needs_is_seen(world: World) -> None:
    look = looked(world.environment, running=[R1, R2, R3], warm={"release": R1})
    assert look.wrong == [f"app-1: {R3} runs beside what is live, and nobody needs it: fab recover"]


@pytest.mark.parametrize(
    ("public", "said"),
    [
        (probe.Answer(200, R2, "{}"), ""),
        (probe.Answer(503, "", '{"code": "maintenance"}'), ""),
        (probe.Answer(421, R2, "not served"), "customers are refused"),
        (probe.Answer(502, "", "bad gateway"), "answers HTTP 502"),
        (probe.Answer(200, R1, "{}"), f"answered by {R1}, which is live on no host"),
        ("SSLError: no such name", "customers get no answer"),
    ],
)
def test_status_asks_as_a_customer_does(world: World, public: probe.Answer | str, said: str) -> None:
    from dataclasses import replace

    asked = replace(world.environment, public=replace(world.environment.public, path="/"))
    wrong = looked(asked, public).wrong
    assert bool(wrong) == bool(said)
    assert said in " ".join(wrong)


def test_maintenance_closes_what_it_can_and_names_the_rest(world: World) -> None:
    from fabfile.upkeep import maintenance

    closed: list[str] = []
    world.hosts["app-2"].down = True
    for each in world.hosts.values():
        each.before_command = lambda one, words: closed.append(one.name)
        each._maintenance = lambda *_: {}  # type: ignore[attr-defined]
    with pytest.raises(UnfinishedError, match="on app-1, app-3, and could not be set on app-2"):
        maintenance.maintenance(world.environment, True, "")
    assert sorted(closed) == ["app-1", "app-3"]


def test_a_plan_says_what_is_odd_about_a_name_and_a_clock_and_what_does_not_fit() -> None:
    later = "20990101T000000Z-aaaaaaa"
    manifest = {"release": R1, "files": {"app/shop-1-py3-none-any.whl": {"size": 100}}}
    states = fleet(host("a", R2, row(R2, "live"), time="2026-01-01T00:00:00.000000Z", free_bytes=10))
    assert preflight.names(R1, states) == [f"{R1} was built before {R2}, which is live"]
    assert "from the future" in preflight.names(later, states)[0]
    assert "the clock of a is -" in preflight.clocks(states)[0]
    assert "a has 0 MB free" in plan._space(states, manifest)[0]
