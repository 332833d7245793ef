"""A host that an earlier Slipway configured, which knew one service a host: this one takes it over as it stands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import AS_IS, Bare, serving
from tests.e2e.fab_runs import again, release_of
from tests.e2e.ground import RATE, Ground, ground_of
from tests.e2e.second_service import APP, BESIDE, Visitors, inventory
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

# The last commit that wrote fixed names: conf.d/app.conf, /run/slipway/warm.json, files/<role>.json.
COMMIT = "2549692"
# Data, and what a release is made of.
KEPT = (
    "/srv/shop/releases",
    "/var/lib/slipway/shop/journal.jsonl",
    "/etc/shop/credentials",
    "/etc/ssl/slipway",
)


@dataclass
class Earlier:
    """A checkout of the earlier Slipway, and the inventory that both use."""

    checkout: Path
    inventory: Path

    def runs(self, *words: str) -> str:
        """What a program of this environment says when it is run there, on the earlier code; it has to end well."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name(words[0])) if words[0] != "python" else sys.executable, *words[1:]],
            cwd=self.checkout,
            env={
                **os.environ, "ANSIBLE_CONFIG": str(self.checkout / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
                "PYTHONPATH": str(self.checkout),
            },
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def earlier(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    folder = tmp_path_factory.mktemp("earlier") / "slipway"
    if subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", COMMIT], capture_output=True).returncode:
        pytest.skip(f"this clone has not the history that {COMMIT} is in")
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", COMMIT], check=True)
    for name in (".lab", "build"):
        # A clone that has built nothing yet has no build.
        (ROOT / name).mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    # The host is the lab's of today, and so is the way in.
    own = folder / "inventory" / lab.site.inventory.name
    if own.exists():
        shutil.rmtree(own)
    shutil.copytree(lab.site.inventory, own)
    return Earlier(folder, own)


@pytest.fixture(scope="module")
def before(lab: Lab, site: Site, bare: Bare, earlier: Earlier) -> Iterator[Ground]:
    """A host that the earlier Slipway configured, with a release that it deployed and one that it keeps warm."""
    host = bare.host
    if not AS_IS:
        host.restore("bare")
    earlier.runs("ansible-playbook", "--inventory", str(earlier.inventory), "site.yml")
    serving(host, site)
    ground = ground_of(lab, site)
    earlier.runs(
        "python",
        "-m",
        "fabfile",
        "deploy",
        f"--env={earlier.inventory.name}",
        f"--bundle={again(ground.bundle)}",
        "--bake=0",
    )
    yield ground
    if not AS_IS:
        host.restore("bare")


def answered(host: Host, words: str) -> dict[str, object]:
    return dict(json.loads(hosts.output(host, f"slipway {words}"))["result"])


def test_another_service_is_refused_before_the_host_is_taken_over(before: Ground, lab: Lab) -> None:
    with inventory(lab.site.inventory, **BESIDE) as folder:
        run = Playbooks(folder).run("site.yml").refused()
    assert run.changed == 0, run
    run.says("run site.yml with the inventory of shop first", "Nothing was changed.")
    assert APP not in hosts.output(before.first, "ls /etc /srv /etc/nginx/conf.d")


def test_fab_says_that_the_host_is_of_an_earlier_slipway(before: Ground) -> None:
    before.fab.run("status").ended(
        before.fab.run("status").status,
        "Its slipway is of an earlier Slipway, which knew one service a host.",
    )


def test_it_is_converged_without_a_lost_request_or_a_renamed_file_of_data(
    before: Ground, playbooks: Playbooks
) -> None:
    host, live = before.first, before.live()
    status, kept = answered(host, "status --json"), hosts.files(host, *KEPT)
    since = hosts.output(host, f"systemctl show --value --property=ActiveEnterTimestamp shop@{live}.service")
    journal = hosts.output(host, "cat /var/lib/slipway/shop/journal.jsonl")

    # A reload of nginx ends idle connections: each asks over one of its own.
    people = Visitors(before.site.address, before.site.ca, before.site.address, keep=False)
    with people:
        playbooks.run("site.yml").succeeded()
    print(people)
    people.lost_nothing()

    # What is added beside is how this version starts a release.
    changes = hosts.differences(kept, hosts.files(host, *KEPT)).splitlines()
    assert [line for line in changes if ": absent -> " not in line and "journal.jsonl" not in line] == []
    assert hosts.output(host, "cat /var/lib/slipway/shop/journal.jsonl").startswith(journal)
    assert before.live() == live
    assert (
        hosts.output(host, f"systemctl show --value --property=ActiveEnterTimestamp shop@{live}.service")
        == since
    )
    now = answered(host, "status --json")
    assert now["warm"] == status["warm"]
    again_run = playbooks.run("site.yml").succeeded()
    assert again_run.changed == 0, again_run
    left = (
        "ls -d /etc/nginx/conf.d/app.conf /etc/nginx/conf.d/metrics.conf /etc/slipway/release.conf "
        "/run/slipway/warm.json /var/lib/slipway/files/*.json "
        "/etc/systemd/system/timers.target.wants/slipway-backup.timer 2>/dev/null; true"
    )
    assert hosts.output(host, left) == ""
    timers = hosts.output(host, "systemctl list-timers --all --no-legend 'slipway-*'")
    assert "slipway-backup-shop.timer" in timers
    assert "slipway-backup.timer" not in timers
    assert not hosts.output(host, "systemctl --failed --no-legend")


def test_the_warm_release_of_before_is_rolled_back_to_and_a_new_one_deployed(before: Ground) -> None:
    shop, was, warm = before.shop(), before.live(), answered(before.first, "status --json")["warm"]
    assert isinstance(warm, dict)
    bundle = before.release()
    with shop.load(RATE / 2) as load:
        before.fab.run("rollback").ended(0, f"{warm['release']} is live on every app host", "lost=0")
        before.fab.deploy(bundle).ended(0, f"{release_of(bundle)} is live on every app host", "lost=0")
        before.fab.run("rollback", f"--to={was}").ended(0, f"{was} is live on every app host", "lost=0")
    print(load.seen)
    load.seen.lost_nothing()
    assert shop.orders() == load.seen.placed
    before.is_whole(was)
    hosts.output(before.first, "slipway journal --verify")
