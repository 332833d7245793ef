"""Where rollouts are tried: the hosts of an environment, its `fab`, its customers, and what must hold in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT
from tests.e2e.fab_runs import Fab, again, release_of
from tests.e2e.load import Seen, Shop
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

CLIENTS = 6
# Under the edge's limit for one address, the probe's requests included.
RATE = 50.0


@dataclass
class Ground:
    """bundle: of the release that was live at first."""

    lab: Lab
    site: Site
    fab: Fab
    bundle: Path

    @property
    def app_hosts(self) -> list[Host]:
        """The hosts that run the service; the first keeps the lease."""
        return [self.lab.host(name) for name in self.lab.groups["app"]]

    @property
    def first(self) -> Host:
        """The host that keeps the lease."""
        return self.app_hosts[0]

    def shop(self, clients: int = CLIENTS) -> Shop:
        """A customer with an account of their own."""
        return Shop(self.site, self.lab.host(self.lab.groups["db"][0]), clients)

    def release(self) -> Path:
        """A bundle of a release that no host has: the same code, built a moment later."""
        return again(self.bundle)

    def live(self) -> str:
        """The release that every host serves; fails when they do not agree."""
        found = {host.name: hosts.live_release(host) for host in self.app_hosts}
        assert len(set(found.values())) == 1, found
        return next(iter(found.values()))

    def clear(self, release: str) -> None:
        """Take the mark from a release that was made to fail."""
        for host in self.app_hosts:
            slipway(host, "mark-bad", release, "--clear")

    def is_whole(self, *expected: str) -> None:
        """Fail unless one release (one of those expected) serves everywhere and nothing is left behind."""
        live = self.live()
        assert not expected or live in expected, f"{live} is live, expected {expected}"
        for host in self.app_hosts:
            complaints = left_behind(host, live)
            assert not complaints, f"{host.name}: {complaints}"
        said = self.site.get("/health/ready")
        assert said.status == 200, said
        assert said.headers["X-Release"] == live, said


def ground_of(lab: Lab, site: Site) -> Ground:
    """The ground of a lab that serves."""
    name = lab.site.inventory.name
    live, folder = hosts.live_release(lab.host(lab.groups["app"][0])), ROOT / "build/bundles"
    # A host taken as it is may serve a copy whose bundle is gone; the first of the commit is what was built.
    exact, same = folder / f"shop-{live}.tar", f"shop-*-{live.rpartition('-')[2]}.tar"
    built = exact if exact.is_file() else min(folder.glob(same))
    return Ground(lab, site, Fab(name), built)


def slipway(host: Host, *words: str, status: int = 0) -> dict[str, Any]:
    """What the host's slipway answers, as root on the console."""
    done = host.run(f"slipway --app=shop {' '.join(words)}")
    assert done.returncode == status, f"slipway {words} on {host.name}\n{done.stdout}{done.stderr}"
    said: dict[str, Any] = json.loads(done.stdout)
    return dict(said["error"] if status else said["result"])


def entries(host: Host, step: str = "", release: str = "", phase: str = "") -> list[dict[str, Any]]:
    """The records of a host's journal, oldest first."""
    lines = hosts.output(host, "cat /var/lib/slipway/shop/journal.jsonl").splitlines()
    wanted = {"step": step, "release": release, "phase": phase}
    found = []
    for line in lines:
        entry = json.loads(line)
        if all(entry.get(name) == value for name, value in wanted.items() if value):
            found.append(entry)
    return found


def seconds(text: str) -> float:
    """A time of the journal in seconds since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def running(host: Host) -> set[str]:
    """The releases of which an instance does anything, by systemd; one that has failed does nothing."""
    idle = '$3 != "inactive" && $3 != "failed" {print $1}'
    units = hosts.output(host, f"systemctl list-units --all --plain --no-legend 'shop@*' | awk '{idle}'")
    return {unit.removeprefix("shop@").removesuffix(".service") for unit in units.split()}


def left_behind(host: Host, live: str) -> Mapping[str, Any]:
    """What is not as a rollout that ended well leaves it; empty when all is."""
    status = slipway(host, "status")
    enabled = hosts.output(
        host, r"find /etc/systemd/system/multi-user.target.wants -name 'shop@*' -printf '%f\n'"
    ).split()
    warm = (status["warm"] or {}).get("release")
    audit = host.run("slipway --app=shop journal --verify")
    found: dict[str, Any] = {
        "orphans": sorted(running(host) - {live, warm}),
        "not running": [] if live in running(host) else [live],
        "starts at boot": [] if enabled == [f"shop@{live}.service"] else enabled,
        "lease": status["lease"] if (status["lease"] or {}).get("state") == "held" else None,
        "lock": status["lock"],
        "audit": audit.stdout if audit.returncode else "",
        **{
            name: status[name] for name in ("unfinished", "half_built", "leftovers", "drained", "maintenance")
        },
    }
    return {name: value for name, value in found.items() if value}


def switches(host: Host, since: float) -> list[tuple[float, str]]:
    """When a host's traffic moved since a moment (seconds since 1970), and from which release."""
    ended = [
        entry["details"] for entry in entries(host, "switch", phase="end") if entry.get("result") == "ok"
    ]
    moved = [(seconds(each["switched_at"]), each["previous"]) for each in ended if each.get("switched_at")]
    return [(at, previous) for at, previous in moved if at >= since]


def late_ms(ground: Ground, seen: Seen, since: float, asked: bool = False) -> list[float]:
    """How long after each switch of the last host the release before it still answered, in milliseconds.

    asked: counted from when a request was sent; otherwise from its answer, which tells how long the last one took.
    """
    moved = list(zip(*(switches(host, since) for host in ground.app_hosts), strict=True))
    found = []
    for position, together in enumerate(moved):
        at, previous = max(moment for moment, _ in together), together[0][1]
        # From the next move on the release before may rightly answer again, on the first host that moved.
        following = moved[position + 1] if position + 1 < len(moved) else []
        until = min((moment for moment, _ in following), default=float("inf"))
        old = [each for each in seen.answers if each.release == previous and at < each.at < until]
        late = [(each.sent if asked else each.at) - at for each in old]
        found.append(1000 * max(0.0, *late, 0.0))
    return found


def new_release(ground: Ground) -> tuple[Path, str]:
    """A bundle and its release."""
    bundle = ground.release()
    return bundle, release_of(bundle)
