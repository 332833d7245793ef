"""`fab` against a host whose answers are given: what it asks, and what it makes of refusals, cuts and other deploys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fabric.testing.base import Command, MockRemote

from fabfile.errors import FabError, FencedError, LockedError, RefusedError, UnfinishedError
from fabfile.hosts.answers import MARKER
from fabfile.hosts.connection import MARKING, UnreachableError
from fabfile.hosts.environment import AppHost, Environment, Public
from fabfile.hosts.fleet import AnswerError, Fleet, HostsError, performed
from fabfile.hosts.policies import Budget, Policy
from fabfile.report import Report
from fabfile.rollout import rollback
from fabfile.rollout.path import Rollout
from fabfile.traffic.probe import Probe
from fabfile.turn import controller, steps
from fabfile.turn import lease as lease_module
from fabfile.turn.lease import Claim, acquire
from fabfile.upkeep import overview

OLD, NEW = "20261121T100000Z-bbbbbb2", "20261122T100000Z-cccccc3"


TOLD = f"{MARKING}sudo -n /usr/local/sbin/slipway --app=shop run"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.touch()
    return Environment(
        name="lab",
        kind="lab",
        app="shop",
        app_hosts=(AppHost("app-1", "192.0.2.1", 22, "deploy", None, known_hosts, app="shop"),),
        # A port where nobody listens: these tests move no traffic.
        public=Public("shop.test", "127.0.0.1", 1, None),
        budget=Budget(2, 5, 5, 100),
        policy=Policy(gate=5, bake=0, warm=600, max_errors=1, keep=5),
    )


@pytest.fixture
def mock() -> Iterator[MockRemote]:
    remote = MockRemote()
    yield remote
    remote.stop()


def good(command: str, /, **result: Any) -> dict[str, Any]:
    return {"schema": 1, "command": command, "changed": True, "result": result, "exit": 0}


def bad(
    told: str, code: str, exit_code: int, message: str = "It is so.", /, **details: Any
) -> dict[str, Any]:
    error = {"code": code, "message": message, "details": details}
    return {"schema": 1, "command": told, "error": error, "exit": exit_code}


def answers(*said: dict[str, Any], ahead: bool = False) -> Command:
    """ahead: it was started before there was anything to tell it, and is still there when there is."""
    code = int(said[-1]["exit"])
    return Command(out=json.dumps(list(said)).encode(), exit=code, waits=int(ahead))


def expect(mock: MockRemote, *commands: Command) -> None:
    mock.expect(host="192.0.2.1", user="deploy", port=22, commands=list(commands))


def status(live: str | None, /, **more: Any) -> dict[str, Any]:
    shown = {
        "live": {
            "release": live,
            "schema_applied": "1",
            "socket": {"ready": True},
            "unit": {"enabled": True},
        },
        "unfinished": [],
        "half_built": [],
        "leftovers": [],
        "journal_torn": [],
        **more,
    }
    return good("status", **shown)


def listed(*rows: dict[str, Any]) -> dict[str, Any]:
    return good("list", releases=list(rows))


def row(release: str, **more: Any) -> dict[str, Any]:
    return {
        "release": release,
        "state": "verified",
        "verified": True,
        "bad": False,
        "schema_head": "1",
        **more,
    }


def test_status_is_one_round_trip(mock: MockRemote, environment: Environment) -> None:
    reading = answers(status(NEW), listed(row(NEW, state="live")))
    channel = mock.expect(
        host="192.0.2.1", user="deploy", port=22, commands=[Command(cmd=TOLD, out=reading.out)]
    )
    states, unreachable = overview.read(environment)
    assert (states["app-1"].live, unreachable) == (NEW, {})
    assert json.loads(channel._stdin.getvalue()) == [["status"], ["list", "--brief"]]


RUNS = {"active": "active", "sub": "running"}
RESTARTS = {"active": "activating", "sub": "auto-restart"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"unfinished": [{"step": "settle", "release": NEW}]}, f"the step settle of {NEW} never ended"),
        ({"half_built": [OLD]}, f"half-built: {OLD}"),
        ({"journal_torn": ["{"]}, "a line of the journal is torn"),
        ({"log_queues": ["7 log lines wait (shop_forward)"]}, "7 log lines wait (shop_forward)"),
        ({"live": None}, "no release is live"),
        (
            {"processes": [{"release": NEW, "name": "worker", "unit": RESTARTS}]},
            f"the process worker of {NEW} is activating (auto-restart): fab logs",
        ),
        (
            {"processes": [{"release": OLD, "name": "worker", "unit": RUNS}]},
            f"the process worker of {OLD} is there, and {NEW} is live: fab recover",
        ),
    ],
)
def test_status_says_what_is_wrong_in_sentences(
    mock: MockRemote, environment: Environment, more: dict[str, Any], said: str
) -> None:
    expect(mock, answers(status(NEW, **more), listed(row(NEW))))
    states, _ = overview.read(environment)
    assert said in overview.problems(states["app-1"])


def test_a_deploy_that_holds_the_lease_is_described_and_how_to_go_on(
    mock: MockRemote, environment: Environment
) -> None:
    held = {
        "holder": "ada",
        "process": controller.process(),
        "machine": controller.machine(),
        "fence": 7,
        "idle": 3.0,
        "since": "2026-11-22T10:00:00Z",
        "renewed": "2026-11-22T10:00:15Z",
        "expires": "2026-11-22T10:01:15Z",
        "command": "fab deploy --env lab",
        "ticket": "OPS-7",
    }
    expect(mock, answers(bad("lease acquire", "lease-held", 4, **held)))
    with Fleet(environment) as fleet, pytest.raises(LockedError) as locked:
        acquire(fleet.first, Claim("lab"), 0)
    for said in (
        "ada is deploying to lab",
        "fab deploy --env lab",
        "OPS-7",
        "alive",
        "--wait",
        "fab unlock --env lab",
    ):
        assert said in str(locked.value)


def test_the_lease_of_a_process_of_this_machine_that_is_gone_is_taken_over(
    mock: MockRemote, environment: Environment
) -> None:
    dead = {
        "holder": "ada",
        "process": "999999999@here",
        "machine": controller.machine(),
        "fence": 7,
        "idle": 31.0,
        "since": "",
        "command": "fab deploy",
    }
    expect(
        mock,
        answers(bad("lease acquire", "lease-held", 4, **dead)),
        answers(good("lease break", broken=dead)),
        answers(good("lease acquire", fence=8, taken_over=dead)),
    )
    with Fleet(environment) as fleet:
        lease, _ = acquire(fleet.first, Claim("lab"), 0)
    assert (lease.fence, lease.taken_over) == (8, dead)


@pytest.mark.parametrize(
    ("machine", "idle"),
    [("another", 3600.0), ("", 3600.0)],
    ids=["of another machine or namespace", "nobody can tell"],
)
def test_the_lease_of_a_process_that_cannot_be_seen_from_here_is_never_broken(
    mock: MockRemote, environment: Environment, machine: str, idle: float
) -> None:
    held = {"holder": "ada", "process": "999999999@here", "machine": machine, "fence": 7, "idle": idle}
    expect(mock, answers(bad("lease acquire", "lease-held", 4, **held)))
    with Fleet(environment) as fleet, pytest.raises(LockedError, match="can be seen on here"):
        acquire(fleet.first, Claim("lab"), 0)


def test_a_lease_that_is_still_renewed_is_not_broken_though_its_process_seems_gone(
    mock: MockRemote, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "ASK_AGAIN_SECONDS", 0.01)
    seen = {"holder": "ada", "process": "999999999@here", "machine": controller.machine(), "fence": 7}
    expect(
        mock,
        answers(bad("lease acquire", "lease-held", 4, **seen, idle=1.0)),
        answers(good("lease acquire", fence=8, taken_over=None)),
    )
    with Fleet(environment) as fleet:
        # Given back meanwhile: it was never broken.
        assert acquire(fleet.first, Claim("lab"), 0)[0].fence == 8


def test_two_processes_of_one_number_name_and_command_are_told_apart() -> None:
    words = "from fabfile.turn.lease import Claim; print(Claim('lab', holder='a', process='1@h', command='c').words())"
    said = {
        subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(said) == 2


def test_a_machine_is_its_boot_and_its_namespace_not_its_name(tmp_path: Path) -> None:
    def machine(boot: str, namespace: str) -> str:
        proc = tmp_path / f"{boot}-{namespace}"
        (proc / "sys/kernel/random").mkdir(parents=True)
        (proc / "self/ns").mkdir(parents=True)
        (proc / "sys/kernel/random/boot_id").write_text(boot)
        (proc / "self/ns/pid").symlink_to(f"pid:[{namespace}]")
        return controller.machine(proc, tmp_path / "no-machine-id")

    assert len({machine("a", "1"), machine("a", "2"), machine("b", "1")}) == 3
    assert controller.machine(tmp_path / "no-proc") == ""


def test_a_host_that_refuses_the_fence_stops_the_rollout_where_it_is(
    mock: MockRemote, environment: Environment
) -> None:
    expect(
        mock,
        answers(good("lease acquire", fence=3, taken_over=None)),
        answers(bad("start", "fence-stale", 7, "A newer deploy has taken over.")),
    )
    with Fleet(environment) as fleet:
        lease, _ = acquire(fleet.first, Claim("lab"), 0)
        rollout = Rollout(
            fleet, lease, Report(), environment.policy, NEW, {"app-1": OLD}, Probe(environment.public)
        )
        with pytest.raises(FencedError, match="A newer deploy has taken over"):
            rollout.prove()


@pytest.mark.parametrize(
    ("refusal", "kind", "told"),
    [
        (
            bad("settle", "fence-stale", 7, "A newer deploy has taken over."),
            FencedError,
            "fab status --env lab",
        ),
        (bad("settle", "disk-full", 3, "There is no room."), UnfinishedError, "fab recover --env lab"),
    ],
)
def test_a_release_that_is_live_but_not_settled_is_left_to_whoever_is_in_charge(
    mock: MockRemote, environment: Environment, refusal: dict[str, Any], kind: type[FabError], told: str
) -> None:
    expect(mock, answers(good("lease acquire", fence=3, taken_over=None)), answers(refusal))
    with Fleet(environment) as fleet:
        lease, _ = acquire(fleet.first, Claim("lab"), 0)
        rollout = Rollout(
            fleet, lease, Report(), environment.policy, NEW, {"app-1": OLD}, Probe(environment.public)
        )
        with pytest.raises(kind, match=f"{NEW} came live on every host") as failed:
            rollout.settle(warm=600)
    assert isinstance(failed.value, kind)
    assert str(failed.value).endswith(f"Type: {told}")


def test_a_gate_that_fails_says_that_no_traffic_was_moved(mock: MockRemote, environment: Environment) -> None:
    expect(
        mock,
        answers(good("lease acquire", fence=3, taken_over=None)),
        answers(
            good("start"), bad("gate", "gate-failed", 3, "It did not become ready: database_unreachable.")
        ),
        answers(good("stop")),
    )
    with Fleet(environment) as fleet:
        lease, _ = acquire(fleet.first, Claim("lab"), 0)
        rollout = Rollout(
            fleet, lease, Report(), environment.policy, NEW, {"app-1": OLD}, Probe(environment.public)
        )
        with pytest.raises(Exception, match="database_unreachable") as failed:
            rollout.prove()
    assert f"No traffic was moved: app-1 serves {OLD}" in str(failed.value)
    assert getattr(failed.value, "exit_code", None) == 3


def test_a_slipway_that_was_started_ahead_is_told_what_to_do(
    mock: MockRemote, environment: Environment
) -> None:
    channel = mock.expect(commands=[answers(good("status"), ahead=True)])
    with Fleet(environment) as fleet:
        fleet.prepare(1)
        channel.exec_command.assert_called_once_with(TOLD)
        (answer,) = performed(fleet.first, ["status"])
    assert (answer.command, channel._stdin.getvalue()) == ("status", b'[["status"]]')
    channel.shutdown_write.assert_called_once_with()


def test_a_slipway_that_was_started_ahead_and_has_ended_is_not_asked(
    mock: MockRemote, environment: Environment
) -> None:
    expect(mock, Command(exit=1), answers(good("status")))
    with Fleet(environment) as fleet:
        fleet.prepare(1)
        (answer,) = performed(fleet.first, ["status"])
    assert answer.command == "status"


def test_a_rollback_without_a_target_gives_the_lease_back_and_says_why(
    mock: MockRemote, environment: Environment
) -> None:
    expect(
        mock,
        answers(
            good("lease acquire", fence=3, taken_over=None),
            status(NEW),
            listed(row(NEW), row(OLD, verified=False)),
            ahead=True,
        ),
        answers(good("lease release"), ahead=True),
        Command(),
    )
    with pytest.raises(RefusedError, match=f"{OLD} is verified, never verified|none that was live before"):
        rollback.rollback(environment, Report())


@pytest.mark.parametrize(
    "text",
    [
        "Authorised use only\n{marker}\n{answer}",
        "a\n[1]\n{marker}\n{answer}\nBye.\n",
        "\xff\n{marker}\n{answer}",
    ],
    ids=["a banner", "one like an answer, and a farewell", "one that is not UTF-8"],
)
def test_an_answer_is_found_among_what_a_login_shell_prints(
    mock: MockRemote, environment: Environment, text: str
) -> None:
    answer = json.dumps([good("lease break", broken=None)])
    said = text.format(marker=MARKER, answer=answer).encode("latin-1")
    expect(mock, Command(out=said))
    with Fleet(environment) as fleet:
        assert performed(fleet.first, ["lease", "break"])[0].changed is True


def test_what_was_done_is_never_said_to_be_nothing_without_an_answer(
    mock: MockRemote, environment: Environment
) -> None:
    expect(mock, Command(out=f"Authorised use only\n{MARKER}\n".encode(), err=b"Connection reset", exit=1))
    with (
        Fleet(environment) as fleet,
        pytest.raises(UnreachableError, match="cannot be told from here") as failed,
    ):
        performed(fleet.first, ["lease", "break"])
    assert "Nothing was changed" not in str(failed.value)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (Command(out=b"", err=b"sudo: a password is required", exit=1), "sudo: a password is required"),
        (Command(out=b"not json", exit=0), "not json"),
    ],
)
def test_a_host_without_slipway_is_told_apart_from_one_that_fails(
    mock: MockRemote, environment: Environment, command: Command, said: str
) -> None:
    expect(mock, command)
    with Fleet(environment) as fleet, pytest.raises(UnreachableError, match=said) as failed:
        performed(fleet.first, ["status"])
    assert "ansible-playbook" in str(failed.value)


def test_a_slipway_that_was_killed_is_not_taken_for_one_that_did_nothing(
    mock: MockRemote, environment: Environment
) -> None:
    expect(mock, Command(err=b"Killed | sudo -n /usr/local/sbin/slipway run", exit=137))
    with Fleet(environment) as fleet, pytest.raises(UnreachableError, match="by signal 9") as failed:
        performed(fleet.first, ["status"])
    assert "fab recover" in str(failed.value)
    assert "Nothing was changed" not in str(failed.value)


def test_a_failure_on_one_host_is_told_with_its_name(mock: MockRemote, environment: Environment) -> None:
    expect(mock, answers(bad("status", "internal", 1, "A fault in slipway itself.")))
    with (
        Fleet(environment) as fleet,
        pytest.raises(HostsError, match="app-1: A fault in slipway itself") as failed,
    ):
        fleet.each(lambda remote: performed(remote, ["status"]))
    assert isinstance(failed.value.failures["app-1"], AnswerError)


def test_a_host_that_cannot_be_reached_stops_everything_before_it_begins(environment: Environment) -> None:
    with Fleet(environment) as fleet:
        assert fleet.remotes == []
        with pytest.raises(UnreachableError, match=r"Nothing was changed on any host.*--without app-1"):
            fleet.require_all()


def test_a_host_of_another_name_cannot_be_left_out(environment: Environment) -> None:
    with pytest.raises(RefusedError, match="app-9: no app host of lab, which has app-1"):
        Fleet(environment, ["app-9"])


def test_a_switch_is_waited_for_as_long_as_a_process_may_take_to_end() -> None:
    policy = Policy(gate=5, bake=0, warm=600, max_errors=1, keep=5)

    assert steps.moving(policy) == steps.GRACE_SECONDS
    assert steps.moving(replace(policy, process_stop=60)) == 60 + steps.PROCESS_SECONDS
