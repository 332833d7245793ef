"""What a rollout tells while it goes: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text


class Report:
    """Plain lines, one an event, each with the seconds since the beginning."""

    def __init__(self, apart: bool = False) -> None:
        """apart: on the error output, where standard output is for a program."""
        self.began = time.monotonic()
        self._apart = apart
        self._lock = threading.Lock()

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, name: str, what: str = "") -> None:
        """The rollout as a whole begins a step."""
        self._line(f"{name}: {what}" if what else name)

    def done(self, host: str, what: str) -> None:
        """A host has done its part."""
        self._line(f"  {host}: {what}")

    def told(self, host: str, what: str) -> None:
        """A host says what happens, line by line; none of them is drawn over."""
        self._line(f"  {host}: {what}")

    def _line(self, text: str) -> None:
        with self._lock:
            print(
                f"{time.monotonic() - self.began:6.1f} s  {text}",
                flush=True,
                file=sys.stderr if self._apart else sys.stdout,
            )


class LiveReport(Report):
    """A table that is redrawn: the step, and what each host did last."""

    def __init__(self, hosts: list[str]) -> None:
        super().__init__()
        self.steps: list[tuple[str, str, float]] = []
        self.hosts = dict.fromkeys(hosts, "")
        self._live = Live(get_renderable=self._table, refresh_per_second=8, console=Console())

    def __enter__(self) -> Report:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def step(self, name: str, what: str = "") -> None:
        self.steps.append((name, what, time.monotonic()))

    def done(self, host: str, what: str) -> None:
        self.hosts[host] = what

    def told(self, host: str, what: str) -> None:
        self._live.console.print(
            Text(f"{time.monotonic() - self.began:6.1f} s  {host}: {what}"), soft_wrap=True
        )
        self.hosts[host] = what

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        now = time.monotonic()
        for position, (name, what, began) in enumerate(self.steps):
            last = position == len(self.steps) - 1
            ended = now if last else self.steps[position + 1][2]
            table.add_row("[bold]→[/]" if last else "✓", name, Text(what), f"{ended - began:.1f} s")
        for host, state in self.hosts.items():
            table.add_row("", f"  {host}", Text(state, no_wrap=True, overflow="ellipsis"), "")
        return table


def of(hosts: list[str], apart: bool = False) -> Report:
    """The report for where this output goes. apart: standard output is for a program."""
    return LiveReport(hosts) if sys.stdout.isatty() and not apart else Report(apart)
