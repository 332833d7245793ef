"""Releases that share an environment: little is shipped and kept, damage is mended, and older releases still serve."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.conftest import serving
from tests.e2e.fab_runs import again, release_of, relocked
from tests.e2e.freezing import Moment, Watch
from tests.e2e.ground import RATE, Ground, entries, ground_of, new_release, slipway
from tests.e2e.test_killed_rollouts import Fault, crash_the_host, kill_the_helper
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(600)]

# What a slipway that shares nothing makes of the bundle that it reads. $1: the release's folder.
WHOLE = """set -e
bundle=$(mktemp --directory); tar --extract --directory "$bundle"
rm --recursive "$1/venv"; python3 -m venv "$1/venv"
pip() { "$1/venv/bin/python" -m pip install --quiet --no-index --no-deps --find-links "$bundle/wheelhouse" "${@:2}"; }
pip "$1" --requirement "$bundle/requirements.lock"; pip "$1" "$bundle"/app/*.whl
python3 -c "import json, sys; path = sys.argv[1]; said = json.load(open(path)); del said[\\"environment\\"]
json.dump(said, open(path, \\"w\\"))" "$1/manifest.json"; rm --recursive "$bundle"
"""
# How many modules are there when the one who builds is in the middle of it; all are some thousand.
HALFWAY = 300


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves."""
    return ground_of(lab, site)


@pytest.fixture(autouse=True)
def whole_in_the_end(ground: Ground) -> Iterator[None]:
    """Whatever a test does, one release serves when it has ended and nothing is left behind."""
    yield
    ground.is_whole()


def environment_of(host: Host, release: str) -> str:
    """The path of the shared environment of a release."""
    found = hosts.output(host, f"cat /srv/shop/releases/{release}/venv/lib/python3*/site-packages/shared.pth")
    return re.findall(r"/srv/shop/environments/[0-9a-f]+", found)[0]


def test_changed_code_alone_ships_less_than_a_megabyte_and_takes_two(ground: Ground) -> None:
    (bundle, new), host, before = new_release(ground), ground.first, ground.live()
    done = ground.fab.deploy(bundle).ended(0, "lost=0")
    shipped = re.search(r"([0-9.]+) MB shipped$", done.output, re.MULTILINE)
    assert shipped, done
    assert float(shipped[1]) <= 1.0
    assert environment_of(host, new) == environment_of(host, before)
    assert not entries(host, "stage.environment", new)
    assert (
        int(hosts.output(host, f"du --summarize --block-size=1K /srv/shop/releases/{new}").split()[0]) < 4096
    )


def test_an_environment_that_was_changed_is_mended_under_the_release_that_runs_in_it(ground: Ground) -> None:
    (bundle, new), before, host = new_release(ground), ground.live(), ground.first
    place = environment_of(host, before)
    hosts.output(host, f"echo '# changed' >> {place}/venv/lib/python3*/site-packages/anyio/__init__.py")
    with ground.shop().load(RATE) as load:
        ground.fab.deploy(bundle).ended(0, "anyio/__init__.py was changed: it was built", "lost=0")
        ground.fab.run("rollback").ended(0, f"{before} is live")
    load.seen.lost_nothing()
    assert {answer.release for answer in load.seen.answers} == {before, new}
    assert environment_of(host, new) == place
    assert not hosts.output(
        host, f"grep changed {place}/venv/lib/python3*/site-packages/anyio/__init__.py; true"
    )


def test_a_release_that_shares_nothing_is_gone_back_to_and_pruned(ground: Ground) -> None:
    """As every release was before."""
    (bundle, old), (other, new), host = new_release(ground), new_release(ground), ground.first
    ground.fab.deploy(bundle).ended(0)
    ground.fab.deploy(other).ended(0)
    slipway(host, "stop", old, "--unless-live", "--wait=60")
    made_whole(host, bundle, old)
    with ground.shop().load(RATE) as load:
        ground.fab.run("rollback", f"--to={old}").ended(0, f"{old} is live", "lost=0")
        ground.fab.run("rollback", f"--to={new}").ended(0, f"{new} is live", "lost=0")
    load.seen.lost_nothing()
    slipway(host, "stop", old, "--unless-live", "--wait=60")
    ground.fab.run("prune", "--keep=1").ended(0)
    assert environment_of(host, new) in hosts.output(host, "ls --directory /srv/shop/environments/*")


@pytest.mark.parametrize("damaged", [False, True], ids=["a new one", "one that two releases share"])
@pytest.mark.parametrize("fault", [kill_the_helper, crash_the_host])
def test_the_build_of_an_environment_is_cut_off_in_the_middle(
    fault: Fault, damaged: bool, ground: Ground, site: Site
) -> None:
    """Of one that no host has, or in the place of one in which a bit has turned under the releases that share it."""
    (bundle, before), host = new_release(ground), ground.first
    ground.fab.deploy(bundle).ended(0)
    place = environment_of(host, before)
    new = ground.release() if damaged else relocked(ground.bundle)
    if damaged:
        hosts.python(host, "flip.py", pattern=f"{place}/venv/lib/python3*/site-packages/anyio-*/METADATA")
    watch = Watch(host, Moment("stage.environment", "begin"), release_of(new))
    with ground.shop().load(RATE) as load:
        started = ground.fab.start("deploy", f"--bundle={new}", "--bake=0")
        frozen = watch.frozen()
        frozen.thaw()
        modules = f"find /srv/shop/staging/{release_of(new)}/venv -name '*.py' 2>/dev/null | wc -l"
        hosts.until("it is being built", lambda: int(hosts.output(host, modules)) > HALFWAY, seconds=60)
        fault(started, frozen)
        assert started.wait().status != 0
        serving(host, site)
        assert ground.live() == before
        sharing = again(new)
        ground.fab.deploy(new, "--wait=90").ended(0, "it was built", "lost=0")
        ground.fab.deploy(sharing, "--wait=90").ended(0, "lost=0")
        ground.fab.run("rollback", f"--to={before}").ended(0, "lost=0")
    if fault is kill_the_helper:
        load.seen.lost_nothing()
    assert environment_of(host, release_of(sharing)) == environment_of(host, release_of(new))
    assert (environment_of(host, release_of(new)) == place) == damaged
    assert not slipway(host, "status")["leftovers"]


def made_whole(host: Host, bundle: Path, release: str) -> None:
    """Give a release everything of its own."""
    words = f"bash -c {shlex.quote(WHOLE)} whole /srv/shop/releases/{release}"
    command = host.site.access.root_command(host.address, words)
    done = subprocess.run(command, input=bundle.read_bytes(), capture_output=True)
    assert done.returncode == 0, done
