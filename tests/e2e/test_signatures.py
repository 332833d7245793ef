"""Who built what a host runs is proven: nobody else's bundle is taken, and nobody's who was withdrawn is begun."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.fab_runs import release_of
from tests.e2e.ground import Ground, entries, ground_of, slipway
from tests.e2e.signing import signature
from tests.e2e.test_attacks import sent
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.ssh import make_key

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """The one host, which is put back in the end."""
    return ground_of(lab, site)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The private key of somebody whom the inventory does not name."""
    make_key(tmp_path / "other", "somebody else")
    return tmp_path / "other"


@pytest.fixture
def told(playbooks: Playbooks) -> Iterator[Any]:
    """Tells the host something else of signatures than the inventory, until the test has ended."""

    def tell(**variables: Any) -> None:
        playbooks.run("playbooks/app.yml", "--tags=release_configure", **variables).succeeded()

    yield tell
    tell()


def staged(host: Host, bundle: Path, *words: str) -> dict[str, Any]:
    """What slipway answers to the deploy user who ships a bundle."""
    content = bundle.read_bytes()
    command = (
        f"sudo -n /usr/local/sbin/slipway stage --bundle=- --sha256={hashlib.sha256(content).hexdigest()}"
    )
    return dict(json.loads(sent(host, " ".join([command, "--wait=30", *words]), content).stdout))


def test_a_deploy_is_signed_and_every_record_says_by_whom(ground: Ground) -> None:
    bundle = ground.release()
    release = release_of(bundle)

    ground.fab.deploy(bundle, "--plan").ended(0, f"{release} to {ground.fab.name}")
    ground.fab.deploy(bundle).ended(0, f"{release} built, signed by lab", "lost=0")

    assert entries(ground.first, "stage", release, "end")[-1]["details"]["signed_by"] == "lab"
    assert slipway(ground.first, "status")["live"]["signed_by"] == "lab"
    ground.fab.run("releases").ended(0, "SIGNED", "lab")
    ground.fab.run("audit", "--lines=5").ended(0, '"signed_with": "SHA256:')


def test_whoever_may_log_in_cannot_bring_what_nobody_signed(ground: Ground, other: Path) -> None:
    host, bundle = ground.first, ground.release()
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    before = hosts.files(host, "/etc", "/srv", "/usr/local")

    unsigned = staged(host, bundle)
    strange = staged(host, bundle, signature(host, digest, other))
    elsewhere = staged(host, bundle, signature(host, "0" * 64))
    refused = ground.fab.deploy(bundle, "--plan", SLIPWAY_SIGNING_KEY=str(other))

    codes = [answer["error"]["code"] for answer in (unsigned, strange, elsewhere)]
    assert codes == ["signature-missing", "signer-unknown", "signature-wrong"]
    assert not hosts.differences(before, hosts.files(host, "/etc", "/srv", "/usr/local"))
    refused.ended(0, f"IN THE WAY: {host.name} lets lab sign, and the bundle is signed with another key")
    ground.fab.deploy(bundle, SLIPWAY_SIGNING_KEY=str(other)).ended(2, "Nothing was changed.")
    ground.is_whole()


def test_a_withdrawn_engineers_bundle_is_not_begun_and_what_served_is_gone_back_to(
    ground: Ground, other: Path, told: Any
) -> None:
    host, before = ground.first, ground.live()
    prepared, served = ground.release(), ground.release()
    ground.fab.deploy(served).ended(0)
    digest = hashlib.sha256(prepared.read_bytes()).hexdigest()
    assert staged(host, prepared, signature(host, digest))["changed"] is True
    public = other.with_suffix(".pub").read_text().strip()

    told(release_signers=[{"name": "other", "key": public}])

    said = slipway(host, "start", release_of(prepared), status=2)
    assert said["code"] == "signer-unknown"
    assert "was staged and never served here" in said["message"]
    ground.fab.run("rollback").ended(0, f"{before} is live on every app host")
    ground.is_whole(before)


def test_where_it_is_switched_off_anything_is_taken(ground: Ground, told: Any) -> None:
    told(release_signatures_required=False, release_signers=[])

    answer = staged(ground.first, ground.release())

    assert answer["changed"] is True, answer
    assert slipway(ground.first, "status")["signatures"] == {
        "required": False,
        "signers": {},
        "wrong_lines": [],
    }
