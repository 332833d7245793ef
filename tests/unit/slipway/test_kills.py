"""Killed after and within every record of every command: `recover`, or the same command again, converges.

The matrix is generated: each command is run on a fresh host and killed one record later each time, until it is not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from slipway.journal import chain
from slipway.releases import kept, marks
from slipway.systemd import Systemd
from slipway.traffic import further, gate

from tests.unit.slipway import support
from tests.unit.slipway.slipway_fakes import alive
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_activate import enabled, live
from tests.unit.slipway.test_processes import SERVICE
from tests.unit.slipway.test_recovery import wait_for

from slipway.cli import main  # isort: skip

LEASE = [
    *("lease", "acquire", "--holder", "ada", "--process", "11@laptop", "--command", "fab deploy"),
    *("--nonce", "0123456789abcdef"),
]
MEMORY = Path("/dev/shm")
FOURTH = "20261125T080000Z-99cc003"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(further, "PROOF_SECONDS", 0.05)
    with support.quick_systemd():
        yield


def say(host: Host, *words: str) -> tuple[int, dict[str, Any]]:
    with redirect_stdout(StringIO()) as stream:
        code = main(words, host)
    return code, json.loads(stream.getvalue())


def serve(host: Host, release: str, before: str | None = None) -> None:
    """The release is live and settled, as slipway leaves it, in a fraction of the time."""
    units = Systemd(host)
    units.start(host.unit(release))
    units.enable(host.unit(release))
    marks.put(host, release, marks.VERIFIED)
    kept.point_to(host, release)
    if before is not None:
        units.disable(host.unit(before))
        units.stop(host.unit(before))
    wait_for(lambda: gate.probe(host.current / "http.sock").ready(release))


def beside(host: Host) -> None:
    """OTHER runs beside the live release and is ready."""
    Systemd(host).start(host.unit(OTHER))
    wait_for(lambda: gate.probe(host.release(OTHER) / "http.sock").ready(OTHER))


def after(*listed: list[str]) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        beside(host)
        commands(*listed)(host)

    return prepare


def drained(host: Host) -> None:
    host.drained.write_text("{}")


def nothing(host: Host) -> None:
    """One release is live, another is staged: as every case begins."""


def commands(*listed: list[str]) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        for words in listed:
            code, answer = say(host, *words)
            assert code == 0, answer

    return prepare


def half_built(host: Host) -> None:
    """What a run leaves that was killed after its switch, with the live release down and a bundle half unpacked."""
    after(["switch", OTHER])(host)
    host.release(THIRD).mkdir()
    (host.staging / THIRD).mkdir()
    support.run(host.root, "settle", OTHER, kill_after=1)
    support.end_units(host.root)


def failing(host: Host) -> None:
    (host.release(OTHER) / "behaviour").write_text("never")
    commands(["start", OTHER])(host)


def full(host: Host) -> None:
    for release in (THIRD, FOURTH):
        support.install_release(host, release)
    serve(host, FOURTH, before=RELEASE)
    host.release("20261126T080000Z-aadd004").mkdir()


@dataclass(frozen=True)
class Case:
    """words, after prepare. code: how it ends when nobody kills it. live: what is live then.

    service: what the two releases declare, such as further processes.
    """

    words: list[str]
    prepare: Callable[[Host], None] = nothing
    code: int = 0
    live: str = RELEASE
    service: dict[str, Any] = field(default_factory=dict)


# Recovered it may be live, with a process that nobody can start: then recover says so, and nothing is whole.
CRASHING = "switch to a crashing process"
CASES = {
    "start": Case(["start", OTHER]),
    "start a crashing one": Case(["start", OTHER], lambda host: crash(host)),
    "gate": Case(["gate", OTHER], beside),
    "gate failing": Case(["gate", OTHER, "--timeout", "0.3"], failing, code=3),
    "switch": Case(["switch", OTHER], beside, live=OTHER),
    "switch failing": Case(["switch", OTHER], code=3),
    "switch back": Case(["switch", RELEASE], after(["switch", OTHER], ["settle", OTHER])),
    "verify": Case(["verify", RELEASE]),
    "settle": Case(["settle", OTHER], after(["switch", OTHER]), live=OTHER),
    "settle cold": Case(
        ["settle", OTHER, "--warm", "0"],
        after(["switch", OTHER], ["settle", OTHER]),
        live=OTHER,
    ),
    "switch with processes": Case(["switch", OTHER], beside, live=OTHER, service=SERVICE),
    CRASHING: Case(["switch", OTHER], lambda host: crash_beside(host), code=3, service=SERVICE),
    "recover processes": Case(["recover"], lambda host: support.end_units(host.root), service=SERVICE),
    "stop": Case(["stop", OTHER], beside),
    "stop the warm one": Case(["stop", RELEASE], commands(["activate", OTHER, "--warm", "600"]), live=OTHER),
    "mark bad": Case(["mark-bad", OTHER, "--reason", "leaks"]),
    "mark good": Case(["mark-bad", OTHER, "--clear"], commands(["mark-bad", OTHER, "--reason", "leaks"])),
    "prune": Case(["prune", "--keep", "1"], full, live=FOURTH),
    "recover": Case(["recover"], half_built, live=OTHER),
    "activate": Case(["activate", OTHER, "--warm", "600"], live=OTHER),
    "activate failing": Case(["activate", OTHER, "--timeout", "0.3"], lambda host: never(host), code=3),
    "migrate": Case(["migrate", OTHER]),
    "maintenance on": Case(["maintenance", "on"]),
    "maintenance off": Case(["maintenance", "off"], commands(["maintenance", "on"])),
    "undrain": Case(["undrain"], drained),
    "record": Case(["record", "deploy.end", "--fence", "3"]),
    "bake": Case(["bake", RELEASE, "--seconds", "0.1"]),
    "lease acquire": Case(LEASE),
    "lease release": Case(["lease", "release", "--fence", "1"], commands(LEASE)),
    "lease break": Case(["lease", "break", "--fence", "1"], commands(LEASE)),
}

# These do something every time they are asked.
REPEATED = ("start a crashing one", "record", "verify", "gate", "bake", "migrate", "lease release")


def never(host: Host) -> None:
    (host.release(OTHER) / "behaviour").write_text("never")


def crash(host: Host) -> None:
    (host.release(OTHER) / "behaviour").write_text("crash")


def crash_beside(host: Host) -> None:
    beside(host)
    (host.release(OTHER) / "process").write_text("crash")


@contextmanager
def fresh(case: Case) -> Iterator[Host]:
    # In memory where there is such a folder: what a flush to the disk is for, no kill of a process shows.
    folder = Path(tempfile.mkdtemp(prefix="sw", dir=MEMORY if MEMORY.is_dir() else None))
    host = support.make_host(folder)
    try:
        for release in (RELEASE, OTHER):
            support.install_release(host, release, service=case.service)
        serve(host, RELEASE)
        if case.service:
            commands(["recover"])(host)
        case.prepare(host)
        yield host
    finally:
        support.end_units(host.root)
        shutil.rmtree(folder)


def killed(host: Host, words: list[str], point: int) -> bool:
    """Runs the command in a process of its own; whether it was still running at the point."""
    process = os.fork()
    if process == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            support.be_killed(point)
            os._exit(main(words, host))
        finally:
            os._exit(1)
    status = os.waitpid(process, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def answers(host: Host, release: str, seconds: float = 20.0) -> bool:
    """Whether the release answers; one whose start was cut off may still be on its way."""
    deadline = time.monotonic() + seconds
    while (
        not (found := gate.probe(host.current / "http.sock").ready(release)) and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return found


def whole(host: Host, where: str) -> None:
    """One live release that answers and starts at boot, no other instance but the warm one, nothing left over."""
    code, status = say(host, "status")
    result = status["result"]
    serving = live(host).removeprefix("releases/")
    warm = {result["warm"]["release"]} if result["warm"] else set()
    assert code == 0
    assert answers(host, serving), where
    processes = {f"shop-process@{each['release']}:{each['name']}.service" for each in result["processes"]}
    declared = kept.declaration(host, serving)
    assert processes == {f"shop-process@{serving}:{name}.service" for name in declared.processes or {}}, where
    assert set(result["timers"]) == set(declared.timers or {}), where
    assert not (host.root.parent / "fake/two-at-once").exists(), where
    assert enabled(host) == {host.unit(serving)} | processes, where
    states = support.unit_states(host.root).items()
    running = {name for name, state in states if alive(state.get("pid"))}
    timers = {f"shop-warm-{release}.timer" for release in warm}
    assert running == {host.unit(release) for release in {serving, *warm}} | processes | timers, where
    assert result["lock"] is None, where
    assert (result["unfinished"], result["half_built"], result["leftovers"]) == ([], [], []), where
    assert chain.verify(host.journal, host.journal.with_suffix(".head")).altered is None, where


def points(within: bool) -> Iterator[int]:
    number = 0
    while True:
        number += 1
        assert number < 60, "it does not come to an end"
        yield -number if within else number


@pytest.mark.parametrize("within", [False, True], ids=["after", "within"])
@pytest.mark.parametrize("name", [name for name in CASES if name != CRASHING])
def test_recovering_after_a_kill_at_any_record_ends_with_one_live_release(name: str, within: bool) -> None:
    case, seen = CASES[name], 0
    for point in points(within):
        with fresh(case) as host:
            if not killed(host, case.words, point):
                break
            seen += 1
            code, answer = say(host, "recover")
            assert code == 0, (point, answer)
            whole(host, f"{name}, record {point}")
            assert say(host, "recover")[1]["changed"] is False, (point, "a second recover found more")
    assert seen >= (1 if name == "record" else 2), f"only {seen} points were tried"


@pytest.mark.parametrize("within", [False, True], ids=["after", "within"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_command_after_a_kill_at_any_record_finishes_it(name: str, within: bool) -> None:
    case = CASES[name]
    for point in points(within):
        with fresh(case) as host:
            if not killed(host, case.words, point):
                break
            where = f"{name}, record {point}"
            code, answer = say(host, *case.words)
            # A gate whose instance is already put away has nothing to ask.
            gone = name == "gate failing" and answer.get("error", {}).get("code") == "not-running"
            assert code == case.code or gone, (where, answer)
            assert live(host) == f"releases/{case.live}", where
            assert gate.probe(host.current / "http.sock").ready(case.live), where
            assert host.unit(case.live) in enabled(host), where
            assert chain.verify(host.journal, host.journal.with_suffix(".head")).altered is None, where
            if not gone:
                assert [entry["step"] for entry in say(host, "status")[1]["result"]["unfinished"]] == [], (
                    where
                )
            again_code, again = say(host, *case.words)
            assert case.code or again_code or again["changed"] is False or name in REPEATED, (where, again)
            assert say(host, "recover")[0] == 0
            whole(host, where)


@pytest.mark.parametrize("within", [False, True], ids=["after", "within"])
def test_a_lease_whose_taker_was_killed_is_had_by_the_next_after_its_time(within: bool) -> None:
    case = Case([*LEASE, "--ttl", "0.3"])
    for point in points(within):
        with fresh(case) as host:
            if not killed(host, case.words, point):
                break
            time.sleep(0.4)
            code, answer = say(
                host, "lease", "acquire", "--holder", "bob", "--process", "2@ci", "--command", "fab deploy"
            )
            assert code == 0, answer
            assert answer["result"]["fence"] == int(host.fence.read_text())
            assert say(host, "lease", "release", "--fence", str(answer["result"]["fence"]))[0] == 0
            whole(host, f"record {point}")
