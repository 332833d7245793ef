"""Measure one host's deploys with nobody ordering: changed code, a new dependency, rollbacks, and what releases take.

Part of `make bench BENCH=rollouts`; `python -m tests.bench.deploys` alone takes eight minutes. Seconds are wall time:
of the build of a commit, and of the whole command that deploys it.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fabfile.bundle import archive
from tests.bench.__main__ import ONE
from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import site_of
from tests.e2e.fab_runs import BUNDLES, MOMENTS, release_of
from tests.e2e.ground import Ground, entries, ground_of, seconds, slipway
from tests.e2e.test_bad_bundle import stage
from tests.lab.lab import Lab

DEPLOYS = int(os.environ.get("SLIPWAY_BENCH_DEPLOYS", "5"))
KEPT = 20
PAUSE_SECONDS = 60
TURNS = 3
# Of the tests' lock, and not of the service's: small, and nothing imports it.
DEPENDENCY = "iniconfig"
# "1": hosts that serve already, with the edge's limits raised, are measured as they are and stay.
AS_IS = os.environ.get("SLIPWAY_BENCH_AS_IS") == "1"
LIMITS = {"nginx_rate": 100_000, "nginx_connections": 2000}
SHIPPED = re.compile(r"([0-9.]+) MB shipped")


@dataclass
class Deploys:
    """seconds: of build and deploy. ready: from the start of the unit to the end of the gate. shipped: MB."""

    seconds: list[float] = field(default_factory=list)
    shipped: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)


@dataclass
class Rollbacks:
    """Seconds of each: at once and after a pause, to the release that is warm; to one that has to be started."""

    warm: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """kept: MiB of all releases, environments and wheels, by how many releases there are."""

    code: Deploys
    dependency: Deploys
    rollbacks: Rollbacks
    kept: dict[int, int]


def ground_on(inventory: Path) -> Ground:
    """The hosts of an inventory, serving."""
    lab = Lab(inventory)
    if not AS_IS:
        lab.down()
        lab.up()
        Playbooks(inventory).run("site.yml", **LIMITS).succeeded()
    return ground_of(lab, site_of(lab))


def leave(inventory: Path) -> None:
    if not AS_IS:
        Lab(inventory).down()


class Project:
    """A clone whose service changes from commit to commit."""

    def __init__(self, scratch: Path) -> None:
        self.folder = scratch / "clone"
        subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(self.folder)], check=True)

    def commit(self, name: str, more: str) -> Path:
        """Adds text to a file of the service; returns the bundle of the commit."""
        with (self.folder / "service" / name).open("a", encoding="utf-8") as file:
            file.write(more)
        git = ["git", "-C", str(self.folder), "-c", "user.name=Bench", "-c", "user.email=bench@shop.example"]
        subprocess.run(
            [*git, "commit", "--quiet", "--all", "--no-verify", f"--message=Changes {name}"], check=True
        )
        return archive.build(
            service=self.folder / "service",
            output=BUNDLES,
            built_at=MOMENTS.next(),
            cache=ROOT / "build/wheelhouse",
        ).path


def deployed(ground: Ground, project: Project, name: str, more: str, into: Deploys) -> None:
    """One deploy of changed files, end to end."""
    began = time.monotonic()
    bundle = project.commit(name, more)
    done = ground.fab.deploy(bundle).ended(0)
    into.seconds.append(time.monotonic() - began)
    into.shipped.append(float(SHIPPED.findall(done.output)[0]))
    release = release_of(bundle)
    show = (
        f"systemctl show --timestamp=us+utc --value --property=InactiveExitTimestamp shop@{release}.service"
    )
    started = hosts.output(ground.first, f'date -d "$({show})" +%s.%N')
    (gated,) = entries(ground.first, "gate", release, "end")
    into.ready.append(seconds(gated["time"]) - float(started))


def measure(ground: Ground) -> Measured:
    """Deploys and rolls back; raises when a command fails."""
    code, dependency = Deploys(), Deploys()
    with tempfile.TemporaryDirectory() as scratch:
        project = Project(Path(scratch))
        # The first of a checkout brings every wheel that the host's first release did not leave there.
        deployed(ground, project, "shop/main.py", "# The first.\n", Deploys())
        for number in range(DEPLOYS):
            deployed(ground, project, "shop/main.py", f"# Change {number}.\n", code)
        rollbacks = Rollbacks()
        for _ in range(TURNS):
            rollbacks.warm.append(rolled_back(ground))
            rollbacks.later.append(rolled_back(ground, pause=PAUSE_SECONDS))
            rollbacks.started.append(rolled_back(ground, warm=False))
        size = kept(ground)
        for wheel in (ROOT / "build/wheelhouse").glob(f"**/{DEPENDENCY}-*.whl"):
            wheel.unlink()
        deployed(ground, project, "requirements.lock", f"{pin(project)}\n", dependency)
        return Measured(code, dependency, rollbacks, size)


def rolled_back(ground: Ground, pause: float = 0.0, warm: bool = True) -> float:
    """Seconds of a rollback to the release that is warm, after a pause. warm: False to end its processes before."""
    # By its name: without one, nobody goes back to the release that was just left, but to one that is not warm.
    to = slipway(ground.first, "status")["warm"]["release"]
    if not warm:
        slipway(ground.first, "stop", to, "--unless-live", "--wait=60")
    time.sleep(pause)
    return ground.fab.run("rollback", f"--to={to}").ended(0).seconds


def pin(project: Project) -> str:
    """The lines of the further dependency, with hashes."""
    lock = (project.folder / "service/requirements-test.lock").read_text(encoding="utf-8")
    found = re.search(rf"^{DEPENDENCY}==[^\\\n]*(\\\n +--hash=[^\\\n]*)+", lock, re.MULTILINE)
    assert found, f"the tests' lock has no {DEPENDENCY}"
    return found[0]


def kept(ground: Ground) -> dict[int, int]:
    """What all releases take, with those that are there and with twenty."""
    found = {}
    for many in (0, KEPT):
        while releases(ground) < many:
            bundle = ground.release()
            digest = subprocess.run(["sha256sum", bundle], capture_output=True, text=True, check=True).stdout[
                :64
            ]
            done = stage(ground.first, bundle.read_bytes(), digest)
            assert done.returncode == 0, done
        found[releases(ground)] = int(hosts.output(ground.first, "du -sm /srv/shop | cut -f1"))
    return found


def releases(ground: Ground) -> int:
    return int(hosts.output(ground.first, "ls /srv/shop/releases | wc -l"))


def _spread(values: Sequence[float], unit: str) -> str:
    return f"{min(values):.2f} to {max(values):.2f} {unit}, median {statistics.median(values):.2f}"


def show(found: Measured) -> None:
    """Print one table."""
    table = Table(title="One host, nobody ordering", title_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("wanted", justify="right")
    several = "; ".join(f"{size} MiB with {many}" for many, size in found.kept.items())
    for row in (
        ("build and deploy of changed code", _spread(found.code.seconds, "s"), "6 s"),
        ("shipped", _spread(found.code.shipped, "MB"), "1 MB"),
        ("from the start of the unit to ready", _spread(found.code.ready, "s"), "1.5 s"),
        ("with a new dependency, fetched", _spread(found.dependency.seconds, "s"), "10 s"),
        ("shipped then", _spread(found.dependency.shipped, "MB"), ""),
        ("warm rollback", _spread(found.rollbacks.warm, "s"), "1 s"),
        (f"the same, {PAUSE_SECONDS} s after anything else", _spread(found.rollbacks.later, "s"), "1 s"),
        ("rollback to a release that has to be started", _spread(found.rollbacks.started, "s"), ""),
        ("all releases, environments and wheels", several, "200 MB"),
    ):
        table.add_row(*row)
    console = Console(width=110)
    console.print(table)
    console.print(f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end.")


def main() -> int:
    """Print the table; leave no host behind, unless it was there before."""
    try:
        show(measure(ground_on(ONE)))
    finally:
        leave(ONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
