"""A bundle that is not what it says is refused before any of it is unpacked."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.signing import signature
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


def rewritten(bundle: bytes, change: Callable[[tarfile.TarInfo, bytes], bytes], *more: str) -> bytes:
    """Return a bundle whose members have other contents, with more members of these names."""
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as source,
        tarfile.open(fileobj=made, mode="w") as target,
    ):
        for member in source:
            file = source.extractfile(member)
            content = change(member, file.read()) if file else b""
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
        for name in more:
            target.addfile(tarfile.TarInfo(name))
    return made.getvalue()


def one_wheel_changed(bundle: bytes) -> bytes:
    """Return a bundle in which a wheel is not the one the manifest lists."""
    return rewritten(
        bundle, lambda member, content: content + b"x" if member.name.startswith("app/") else content
    )


# All but the lock, which says who held it last.
KEPT = ("/etc", "/srv", "/usr/local", "/var/lib/slipway/shop/incoming", "/srv/shop/staging")
OTHERS = "does not hold what its manifest lists: app/"
BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda bundle: bundle[: len(bundle) // 2], "The bundle is cut or damaged"),
    "damaged": (lambda bundle: bundle[:5000] + b"damage" + bundle[5006:], OTHERS),
    "with a wheel of somebody else": (one_wheel_changed, OTHERS),
    "with a path that leads out": (
        lambda bundle: rewritten(bundle, lambda _, content: content, "../../../etc/cron.d/evil"),
        "The bundle's member '../../../etc/cron.d/evil' has a path that leads out of the release",
    ),
    "with a path from the root": (
        lambda bundle: rewritten(bundle, lambda _, content: content, "/etc/cron.d/evil"),
        "The bundle's member '/etc/cron.d/evil' has a path that leads out of the release",
    ),
}


@pytest.fixture(scope="module")
def good(configured: Host) -> Path:
    """The bundle of the release that is live."""
    return ROOT / f"build/bundles/shop-{hosts.live_release(configured)}.tar"


def stage(host: Host, bundle: bytes, sha256: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
    """Send a bundle over SSH to `slipway stage` as an engineer does."""
    command = ["sudo", "-n", "/usr/local/sbin/slipway", "stage", "--bundle=-", f"--sha256={sha256}", *options]
    command.append(signature(host, sha256))
    login = host.site.access.command(host.address, user="deploy")
    return subprocess.run([*login, " ".join(command)], input=bundle, capture_output=True)


def assert_refused(done: "subprocess.CompletedProcess[bytes]", sentence: str) -> None:
    """Fail unless slipway refused with this sentence."""
    assert done.returncode == 2, done
    assert sentence in json.loads(done.stdout)["error"]["message"], done.stdout


@pytest.mark.parametrize("about", BAD)
def test_slipway_refuses_a_bundle_that_is(about: str, host: Host, good: Path) -> None:
    spoil, sentence = BAD[about]
    bundle = spoil(good.read_bytes())
    before = hosts.files(host, *KEPT)
    assert_refused(stage(host, bundle, hashlib.sha256(bundle).hexdigest()), sentence)
    changes = hosts.differences(before, hosts.files(host, *KEPT))
    assert not changes, changes


def test_slipway_refuses_a_bundle_that_changed_on_the_way(host: Host, good: Path) -> None:
    before = hosts.files(host, *KEPT)
    assert_refused(stage(host, good.read_bytes(), "0" * 64), "it was cut or changed on the way")
    changes = hosts.differences(before, hosts.files(host, *KEPT))
    assert not changes, changes


def test_slipway_refuses_a_bundle_of_another_release(host: Host, good: Path) -> None:
    content = good.read_bytes()
    other = "20260101T000000Z-0000000"
    done = stage(host, content, hashlib.sha256(content).hexdigest(), f"--release={other}")
    assert_refused(done, f"but {other} was asked for")


@pytest.mark.parametrize("about", ["cut off", "with a path that leads out"])
def test_site_yml_refuses_to_put_it_live(
    about: str, spoilt: Host, good: Path, playbooks: Playbooks, tmp_path: Path
) -> None:
    spoil, sentence = BAD[about]
    bundle = tmp_path / good.name.replace("shop-2", "shop-1")
    bundle.write_bytes(spoil(good.read_bytes()))
    running = hosts.output(
        spoilt, "systemctl list-units --plain --no-legend 'shop@*' | cut --delimiter=' ' --fields=1"
    )
    if running:
        hosts.output(spoilt, f"systemctl disable --now --quiet {running} && rm /srv/shop/current")
    before = hosts.files(spoilt, "/etc", "/srv")
    run = playbooks.run("playbooks/app.yml", release_bundle=str(bundle)).refused()
    run.says(sentence)
    changes = hosts.differences(before, hosts.files(spoilt, "/etc", "/srv"))
    assert not changes, changes
