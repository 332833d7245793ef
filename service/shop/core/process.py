"""What the kernel says of the service's processes and of the memory they share."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class ProcessFacts:
    """One process: bytes, seconds of CPU time, seconds since 1970; see proc(5)."""

    pid: int
    rss: int
    vms: int
    cpu: float
    threads: int
    open_files: int
    started: float

    @property
    def uptime(self) -> float:
        """Seconds since the process began."""
        return time.time() - self.started


def _stat(pid: int) -> list[str] | None:
    try:
        # The name in parentheses may hold blanks: what follows it begins with the state.
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def process_facts(pid: int) -> ProcessFacts | None:
    """The facts of a process of the same user; None when there is none with this number."""
    stat = _stat(pid)
    if stat is None:
        return None
    try:
        open_files = len(os.listdir(PROC / str(pid) / "fd"))
    except OSError:
        open_files = 0
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / TICKS
    return ProcessFacts(
        pid=pid,
        rss=int(stat[21]) * PAGE,
        vms=int(stat[20]),
        cpu=(int(stat[11]) + int(stat[12])) / TICKS,
        threads=int(stat[17]),
        open_files=open_files,
        started=time.time() - age,
    )


def is_sibling(pid: int) -> bool:
    """True while `pid` is this process, or lives and has the same parent: a number alone may be reused."""
    if pid == os.getpid():
        return True
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX" and int(stat[1]) == os.getppid()


def cgroup_memory() -> dict[str, float]:
    """The control group's memory: `current` and `max` in bytes, `oom_kills`; empty without cgroup v2.

    The group's, not the host's: the kernel kills by this one.
    """
    try:
        group = (PROC / "self" / "cgroup").read_text().partition("0::")[2].split("\n")[0]
        directory = CGROUPS / group.lstrip("/")
        limit = (directory / "memory.max").read_text().strip()
        events = dict(line.split() for line in (directory / "memory.events").read_text().splitlines())
        return {
            "current": float((directory / "memory.current").read_text()),
            "max": float("inf") if limit == "max" else float(limit),
            "oom_kills": float(events.get("oom_kill", 0)),
        }
    except (OSError, ValueError):
        return {}


class ProcessFamilies(Collector):
    """Process and memory metrics of the workers that `pids` names, under prometheus-client's own names."""

    def __init__(self, release: str) -> None:
        self.release = release
        self.pids: Iterable[int] = (os.getpid(),)

    def collect(self) -> Iterable[Metric]:
        """Everything, read now."""
        build = GaugeMetricFamily("shop_build_info", "The release that runs.", labels=["release"])
        build.add_metric([self.release], 1)
        yield build
        known = [facts for pid in self.pids if (facts := process_facts(pid))]
        for name, documentation, attribute in (
            ("process_resident_memory_bytes", "Memory in RAM, by worker.", "rss"),
            ("process_virtual_memory_bytes", "Address space, by worker.", "vms"),
            ("process_threads", "Threads, by worker.", "threads"),
            ("process_open_fds", "Open files and sockets, by worker.", "open_files"),
            ("process_start_time_seconds", "When the worker began, in seconds since 1970.", "started"),
        ):
            gauge = GaugeMetricFamily(name, documentation, labels=["pid"])
            for facts in known:
                gauge.add_metric([str(facts.pid)], getattr(facts, attribute))
            yield gauge
        cpu = CounterMetricFamily("process_cpu_seconds", "CPU time, by worker.", labels=["pid"])
        for facts in known:
            cpu.add_metric([str(facts.pid)], facts.cpu)
        yield cpu
        memory = cgroup_memory()
        if memory:
            yield GaugeMetricFamily("cgroup_memory_bytes", "Memory of the unit.", memory["current"])
            yield GaugeMetricFamily("cgroup_memory_max_bytes", "Where it ends.", memory["max"])
            yield CounterMetricFamily(
                "cgroup_oom_kills", "Processes the kernel killed for memory.", memory["oom_kills"]
            )
