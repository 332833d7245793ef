"""Releases and bundles that are no good: what is said, and that every host serves on what it served."""

from __future__ import annotations

import io
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.e2e import broken_releases, hosts
from tests.e2e.fab_runs import again, release_of, relocked
from tests.e2e.freezing import Moment, Watch
from tests.e2e.ground import RATE, Ground, ground_of, slipway
from tests.e2e.load import Seen
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(600)]

APPLIED = "SELECT version_num FROM shop.alembic_version"
STAGING = "/srv/shop/staging"
# How long the watch after the switch goes on, and how soon it has to have taken the traffic back.
BAKE = 6
TAKEN_BACK_SECONDS = 8.0


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves."""
    return ground_of(lab, site)


@pytest.fixture
def served(ground: Ground) -> Iterator[str]:
    """The release that serves before, and after: with nothing left behind, whatever was tried."""
    live = ground.live()
    yield live
    ground.is_whole(live)


def wholly_from(seen: Seen, release: str) -> None:
    """Fail unless all was answered, and by the release alone."""
    seen.lost_nothing()
    assert {answer.release for answer in seen.answers} == {release}, seen


def shared(cases: Iterable[str], main: str) -> list[ParameterSet]:
    """Cases as parameters; the main one is part of the share that every run of the tests has."""
    return [pytest.param(case, marks=[pytest.mark.share] if case == main else []) for case in cases]


# By what is broken: seconds it is given to be ready, and what is said. A host may take ten to start a release; one that
# is loaded before it is served ends at once.
NEVER_SERVE = {
    "does not import": (30, "did not start", "ImportError: broken on purpose"),
    "never binds": (6, "did not become ready", "it was not ready 3 times in a row within 6 s"),
    "binds and is never ready": (30, "did not become ready", "Broken on purpose."),
}


@pytest.mark.parametrize("about", NEVER_SERVE)
def test_a_release_that_is_never_ready_gets_no_traffic(
    about: str, ground: Ground, served: str, tmp_path: Path
) -> None:
    bundle, (patience, *sentences) = broken_releases.build(about, tmp_path), NEVER_SERVE[about]
    with ground.shop().load(RATE) as load:
        done = ground.fab.deploy(bundle, f"--gate={patience}")
    done.ended(3, *sentences, f"{ground.first.name} serves {served}")
    wholly_from(load.seen, served)
    (row,) = [
        row for row in slipway(ground.first, "list")["releases"] if row["release"] == release_of(bundle)
    ]
    assert row["state"] == "bad"
    ground.fab.deploy(bundle).ended(2, "IN THE WAY", "is marked bad", "Nothing was changed.")
    ground.fab.run("rollback", f"--to={release_of(bundle)}").ended(2, "is marked bad")


def test_a_release_of_another_schema_is_refused_before_anything_is_shipped(
    ground: Ground, served: str, tmp_path: Path
) -> None:
    bundle = broken_releases.of_another_schema(tmp_path, "ffffffffffff")
    applied = hosts.sql(ground.first, APPLIED)
    with ground.shop().load(RATE) as load:
        ground.fab.deploy(bundle).ended(
            2, "IN THE WAY", f"the database is on the revision {applied}, which this release does not know"
        )
    wholly_from(load.seen, served)
    assert hosts.sql(ground.first, APPLIED) == applied
    assert release_of(bundle) not in hosts.output(ground.first, "ls /srv/shop/releases")


def test_a_release_whose_schema_was_taken_away_under_it_gets_no_traffic(ground: Ground, served: str) -> None:
    """The plan found the schema that it needs; by the time of its gate somebody has changed it by hand."""
    bundle, host = ground.release(), ground.first
    applied = hosts.sql(host, APPLIED)
    watch = Watch(host, Moment("start", "begin"), release_of(bundle))
    started = ground.fab.start("deploy", f"--bundle={bundle}", "--gate=25")
    frozen = watch.frozen()
    hosts.sql(host, "UPDATE shop.alembic_version SET version_num = 'ffffffffffff'")
    try:
        frozen.thaw()
        started.wait().ended(3, "did not become ready", "ffffffffffff", f"{host.name} serves {served}")
    finally:
        hosts.sql(host, f"UPDATE shop.alembic_version SET version_num = '{applied}'")
    assert ground.live() == served


# One that dies is seen by its unit's end, or by who looked just before that.
BREAK_LATER = {
    "dies after some seconds": r"ended \(result|does not serve as it should: (its unit is|answer \d of)",
    "fails a fifth of the requests after fifty": "answers were 5xx",
}


@pytest.mark.parametrize("about", shared(BREAK_LATER, "dies after some seconds"))
def test_a_release_that_breaks_under_traffic_is_taken_back(
    about: str, ground: Ground, served: str, tmp_path: Path
) -> None:
    """The answers that the release spoils are those before the watch sees it; not one comes after that."""
    bundle, shop = broken_releases.build(about, tmp_path), ground.shop()
    with shop.load(RATE) as load:
        done = ground.fab.deploy(bundle, bake=BAKE)
        ended = time.time()
        time.sleep(2)
    done.ended(
        3,
        f"{release_of(bundle)} failed after traffic had moved",
        f"Every host went back: {ground.first.name} serves {served}",
        f"{release_of(bundle)} is marked bad.",
    )
    assert re.search(BREAK_LATER[about], " ".join(done.output.split())), done
    seen = load.seen
    wholly_from(seen.within(ended, ended + 60), served)
    bad = [answer for answer in seen.answers if answer.release == release_of(bundle)]
    assert bad, "the release never had the traffic, so nothing was shown"
    assert max(answer.at for answer in bad) - min(answer.at for answer in bad) < TAKEN_BACK_SECONDS
    spoilt = [answer.at for answer in seen.wrong] + [loss.at for loss in seen.losses]
    assert all(min(each.at for each in bad) <= at <= ended for at in spoilt), seen
    # What was confirmed is there, however the release ended.
    assert {answer.key for answer in seen.answers if answer.status == 201} <= shop.keys()


def cut(bundle: Path) -> Path:
    """The first half of a bundle."""
    content = bundle.read_bytes()
    bundle.write_bytes(content[: len(content) // 2])
    return bundle


def flipped(bundle: Path) -> Path:
    """A bundle with one bit turned, in the middle of it."""
    content = bytearray(bundle.read_bytes())
    content[len(content) * 3 // 4] ^= 0x10
    bundle.write_bytes(content)
    return bundle


def member(name: str, mode: int = 0o644) -> tarfile.TarInfo:
    """A member of an archive."""
    made = tarfile.TarInfo(name)
    made.mode = mode
    return made


def setuid(each: tarfile.TarInfo, content: bytes) -> bytes:
    """Give the lock of requirements a bit that it must not have."""
    if each.name == "requirements.lock":
        each.mode = 0o4755
    return content


def altered(each: tarfile.TarInfo, content: bytes) -> bytes:
    """Put a byte more into the service's wheel than its manifest lists."""
    return content + b"x" if each.name.startswith("app/") else content


BUNDLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut off": (lambda good: cut(again(good)), "is not a bundle that can be read"),
    "with a bit turned": (
        lambda good: flipped(again(good)),
        "does not hold what its manifest lists: wheelhouse/",
    ),
    "with a wheel of somebody else": (
        lambda good: again(good, altered),
        "does not hold what its manifest lists: app/",
    ),
    "with a path that leads out": (
        lambda good: again(good, more=[member("../../../etc/cron.d/evil")]),
        "has a path that leads out of the release",
    ),
    "with a setuid file": (lambda good: again(good, setuid), "has a setuid, setgid or sticky bit"),
    "without a wheel it needs": (lambda good: relocked(good, "wheelhouse/starlette-"), "starlette"),
}


@pytest.mark.parametrize("about", BUNDLES)
def test_a_bundle_that_is_no_good_changes_nothing(about: str, ground: Ground, served: str) -> None:
    spoil, sentence = BUNDLES[about]
    bundle = spoil(ground.bundle)
    with ground.shop().load(RATE) as load:
        done = ground.fab.deploy(bundle)
    assert done.status in (2, 3), done
    done.ended(done.status, sentence)
    wholly_from(load.seen, served)
    assert release_of(bundle) not in hosts.output(ground.first, "ls /srv/shop/releases")


def test_another_bundle_under_the_name_of_a_release_is_refused(ground: Ground, served: str) -> None:
    content = ground.bundle.read_bytes()
    bundle = ground.release()
    ground.fab.deploy(bundle).ended(0)
    ground.fab.run("rollback").ended(0)
    # The same files, packed anew: other bytes under the same name.
    ground_release = release_of(bundle)
    with tarfile.open(bundle) as archive:
        kept = [(each, archive.extractfile(each)) for each in archive]
        contents = [(each, file.read() if file else b"") for each, file in kept]
    with tarfile.open(bundle, "w:gz", compresslevel=2) as target:
        for each, data in contents:
            target.addfile(each, io.BytesIO(data))
    done = ground.fab.deploy(bundle)
    done.ended(3, f"Release {ground_release} is already on this host, built from other bytes")
    assert ground.bundle.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "remade", "sentence"),
    [
        ("size=10m", again, "bytes free for staging"),
        ("size=60m", relocked, "bytes free for staging"),
        ("size=900m,nr_inodes=20", again, "No space left on device"),
    ],
    ids=["too small", "too small for its environment", "full while it is unpacked"],
)
def test_a_disk_that_is_full_changes_nothing(
    ground: Ground, served: str, options: str, remade: Callable[[Path], Path], sentence: str
) -> None:
    bundle = remade(ground.bundle)
    hosts.output(ground.first, f"mount -t tmpfs -o {options},mode=0700 tmpfs {STAGING}")
    try:
        with ground.shop().load(RATE) as load:
            ground.fab.deploy(bundle).ended(3, sentence)
    finally:
        hosts.output(ground.first, f"umount {STAGING}")
    wholly_from(load.seen, served)
    assert release_of(bundle) not in hosts.output(ground.first, "ls /srv/shop/releases")
    ground.fab.deploy(bundle).ended(0)
    ground.fab.run("rollback", f"--to={served}").ended(0)
