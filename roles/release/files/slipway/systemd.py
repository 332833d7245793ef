"""The units of the releases, asked and told through systemctl, each call bounded in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipway.errors import StepError
from slipway.files import fsync_directory
from slipway.host import RELEASE_ID, Host
from slipway.processes import Outcome, run

PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "ExecMainStatus",
    "MemoryCurrent",
    "MemoryMax",
)
# What starts at boot matters at boot: to have the manager read all of its units again takes longer than a switch.
UNREAD = ("--no-reload",)
QUERY_SECONDS = 10.0
# Longer than the units' own TimeoutStartSec and TimeoutStopSec.
CHANGE_SECONDS = 120.0


@dataclass(frozen=True)
class UnitState:
    """What systemd says of one unit. memory: bytes it takes now; memory_max: those it may; None where nobody counts."""

    active: str
    sub: str
    enabled: bool
    result: str
    restarts: int
    exit_status: int
    memory: int | None = None
    memory_max: int | None = None

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def idle(self) -> bool:
        """No process of it runs, and none will be started."""
        return self.active in ("inactive", "failed")

    @property
    def broken(self) -> bool:
        """It ended or is between two attempts: waiting for it to answer is of no use."""
        return self.active in ("failed", "inactive", "deactivating") or self.sub == "auto-restart"


class Systemd:
    def __init__(self, host: Host) -> None:
        self.host = host

    def _systemctl(self, *arguments: str, seconds: float = QUERY_SECONDS) -> Outcome:
        return run([self.host.systemctl, *arguments], seconds)

    def state(self, unit: str) -> UnitState:
        return self._show(unit)[unit]

    def instances(self, releases: Iterable[str]) -> dict[str, UnitState]:
        """The state of each given release's unit, and of every other loaded instance, by release id."""
        return self._of(f"{self.host.app}@", map(self.host.unit, releases))

    def backfills(self, releases: Iterable[str]) -> dict[str, UnitState]:
        """The same of the units of their backfills."""
        return self._of(f"{self.host.app}-backfill@", map(self.host.backfill_unit, releases))

    def states(self, units: Iterable[str]) -> dict[str, UnitState]:
        """The state of each of the units; nothing is asked for none."""
        named = list(units)
        return self._show(*named) if named else {}

    def _of(self, template: str, units: Iterable[str]) -> dict[str, UnitState]:
        found = {}
        for unit, state in self._show(*units, f"{template}*.service").items():
            release = unit.removeprefix(template).removesuffix(".service")
            if RELEASE_ID.fullmatch(release):
                found[release] = state
        return found

    def _show(self, *units: str) -> dict[str, UnitState]:
        outcome = self._systemctl("show", f"--property={','.join(PROPERTIES)}", "--", *units)
        if not outcome.ok:
            said = outcome.tail(3) or "no answer"
            raise StepError(
                "systemd",
                f"systemctl could not say in which state {' '.join(units)} is: {said}. "
                "Is systemd running on this host? `systemctl status` shows.",
            )
        blocks = [block for block in outcome.output.strip().split("\n\n") if block.strip()]
        return dict(self._parse(block) for block in blocks)

    def _parse(self, block: str) -> tuple[str, UnitState]:
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        unit = values.get("Id", "")
        return unit, UnitState(
            active=values.get("ActiveState", "unknown"),
            sub=values.get("SubState", "unknown"),
            # Asked of the disk, as a boot does: the manager remembers what was when it last read its units.
            enabled=self.host.boot_link(unit).is_symlink(),
            result=values.get("Result", ""),
            restarts=int(values.get("NRestarts") or 0),
            exit_status=int(values.get("ExecMainStatus") or 0),
            memory=_bytes(values.get("MemoryCurrent")),
            memory_max=_bytes(values.get("MemoryMax")),
        )

    def start(self, unit: str, seconds: float = CHANGE_SECONDS) -> Outcome:
        """Starts unit; a start limit reached by earlier attempts does not count against this one."""
        if self.state(unit).active == "failed":
            self._systemctl("reset-failed", "--", unit)
        return self._systemctl("start", "--", unit, seconds=seconds)

    def timers(self) -> list[str]:
        """The releases for which a timer waits to stop them."""
        found = []
        for unit, state in self._show(self.host.timer("*")).items():
            release = unit.removeprefix(self.host.timer("*").partition("*")[0]).removesuffix(".timer")
            if RELEASE_ID.fullmatch(release) and not state.idle:
                found.append(release)
        return sorted(found)

    def stop_later(self, release: str, seconds: float, *words: str) -> None:
        """Has slipway stop the release in seconds, unless it is live by then. Gone with a reboot. words: for stop."""
        name = self.host.timer(release).removesuffix(".timer")
        command = [
            self.host.systemd_run,
            "--quiet",
            "--collect",
            f"--unit={name}",
            f"--on-active={seconds:.0f}",
        ]
        command += ["--timer-property=AccuracySec=1s", *self.host.program]
        outcome = run([*command, "stop", release, "--unless-live", *words, "--wait", "300"], QUERY_SECONDS)
        if not outcome.ok:
            raise StepError(
                "timer-failed", f"systemd-run could not set the timer {name}: {outcome.tail(3)}", unit=name
            )

    def end_waiting_stop(self, release: str) -> None:
        """The timer has fired and its slipway waits for the lock: it must not stop what is about to be used."""
        self._systemctl("stop", "--", self.host.timer(release).replace(".timer", ".service"))

    def forget_timer(self, release: str) -> None:
        """Ends the wait; that it has just ended by itself, and the timer is gone, is as good."""
        outcome = self._systemctl("stop", "--", self.host.timer(release))
        if not outcome.ok and release in self.timers():
            raise StepError(
                "unit-failed", f"systemctl stop {self.host.timer(release)} failed: {outcome.tail(3)}"
            )

    def stop(self, *units: str) -> None:
        """Stops them at once; one that had failed would stand among the failed ones of the host for ever."""
        if not units:
            return
        self._change("stop", *units)
        for unit, state in self._show(*units).items():
            if state.active == "failed":
                self._change("reset-failed", unit)

    def begin(self, unit: str) -> None:
        """Starts a unit that needs no proof, such as a timer."""
        self._change("start", unit)

    def begin_unwatched(self, unit: str) -> None:
        """Asks for a start that nobody waits for, and that may fail."""
        self._systemctl("start", "--no-block", "--", unit)

    def read_units(self) -> None:
        """Has the manager read its unit files again."""
        self._change("daemon-reload")

    def forget_failed(self, pattern: str) -> None:
        """Those that match stand no longer among the failed ones of the host; that there are none is no error."""
        self._systemctl("reset-failed", "--", pattern)

    def enable(self, unit: str) -> None:
        self._change("enable", unit, options=UNREAD)
        self._flush_boot_link(unit)

    def disable(self, unit: str) -> None:
        self._change("disable", unit, options=UNREAD)
        self._flush_boot_link(unit)

    def _flush_boot_link(self, unit: str) -> None:
        """What starts at boot is on the disk before `current` is: they may be on two disks."""
        folder = self.host.boot_link(unit).parent
        if folder.is_dir():
            fsync_directory(folder)

    def _change(self, verb: str, *units: str, options: Sequence[str] = ()) -> None:
        named = ["--", *units] if units else []
        outcome = self._systemctl(verb, *options, *named, seconds=CHANGE_SECONDS)
        if not outcome.ok:
            happened = outcome.tail(5) or f"no answer within {CHANGE_SECONDS:g} s"
            told = " ".join([verb, *units])
            raise StepError("unit-failed", f"systemctl {told} failed: {happened}", unit=" ".join(units))

    def output(self, unit: str, since: float, lines: int = 2000) -> list[str]:
        """What the unit's own processes said since then (seconds since 1970), without systemd's lines about it."""
        outcome = self._last(lines, f"--since=@{since:.6f}", f"_SYSTEMD_UNIT={unit}")
        return _forward(outcome, lines) if outcome.ok else []

    def journal(self, unit: str, since: float | None = None, lines: int = 50) -> list[str]:
        """The last lines of the unit's journal. since: seconds since 1970, to leave out earlier runs."""
        outcome = self._last(lines, "-u", unit, *([] if since is None else [f"--since=@{int(since)}"]))
        return _forward(outcome, lines) if outcome.ok else [f"journalctl failed: {outcome.tail(3)}"]

    def _last(self, lines: int, *which: str) -> Outcome:
        """The newest lines first: without -r, journalctl gives the first ones when it is told since when."""
        # What a unit said last may not be written yet when it has just ended.
        run([self.host.journalctl, "--sync"], QUERY_SECONDS)
        command = [self.host.journalctl, "-q", "--no-pager", "-o", "cat", "-r", "-n", str(lines)]
        return run([*command, *which], QUERY_SECONDS)


def _bytes(text: str | None) -> int | None:
    """None for "[not set]" and "infinity", and for the largest number, which is how older ones write these."""
    return int(text) if text and text.isdecimal() and int(text) < 1 << 63 else None


def _forward(outcome: Outcome, lines: int) -> list[str]:
    return outcome.output.splitlines()[:lines][::-1]
