"""The image of a release: what is in it, what it says of itself, and that the same commit makes the same."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabfile.bundle import archive
from fabfile.bundle.wheels import Target
from tests.containers import hardened, images
from tests.containers.engine import ROOT, Engine
from tests.containers.images import Built
from tests.unit.slipway import support

MOST_BYTES = 220_000_000

pytestmark = [pytest.mark.long, pytest.mark.containers]


@pytest.mark.share
def test_it_is_called_after_its_release_and_says_of_which_bundle_it_is(engine: Engine, shop: Built) -> None:
    found = engine.inspect(shop.name, "image")

    labels = found["Labels"]
    assert shop.name == f"localhost/shop:{shop.bundle.release}"
    assert labels["org.slipway.release"] == labels["org.opencontainers.image.version"] == shop.bundle.release
    assert labels["org.slipway.bundle-sha256"] == shop.bundle.sha256
    assert labels["org.slipway.git-sha"].startswith(shop.bundle.release.rpartition("-")[2])
    assert found["Config"]["User"] == "10001:10001"
    assert found["HealthCheck" if "HealthCheck" in found else "Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.share
def test_it_is_small(engine: Engine, shop: Built) -> None:
    size = engine.inspect(shop.name, "image")["Size"]

    print(f"unpacked: {size / 1e6:.0f} MB")
    assert size <= MOST_BYTES


# Every file that pip put there, but bytecode, and what says where it came from.
FILES = """\
import glob, hashlib, json, os, sys
found = {}
for venv in sys.argv[1:]:
    (library,) = glob.glob(venv + "/lib/python3*/site-packages")
    for folder, _, names in os.walk(library):
        for name in names:
            path = os.path.join(folder, name)
            place = os.path.relpath(path, library)
            if name.endswith(".pyc") or name in ("direct_url.json", "shared.pth"):
                continue
            data = open(path, "rb").read()
            if name == "RECORD":
                # A program's first line is its environment's Python, which is another path.
                lines = data.decode().splitlines()
                data = "\\n".join(sorted(l for l in lines if "/bin/" not in l and "direct_url" not in l)).encode()
            found[place] = hashlib.sha256(data).hexdigest()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def staged(shop: Built, tmp_path_factory: pytest.TempPathFactory) -> support.Host:
    """Return a host on which slipway has staged the same bundle."""
    host = support.make_host(tmp_path_factory.mktemp("staged"))
    with shop.bundle.path.open("rb") as stream:
        done = subprocess.run(
            [*support.command(host.root), *support.staging(shop.bundle.path)],
            stdin=stream, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return host


def test_it_has_the_files_that_a_host_has(engine: Engine, shop: Built, staged: support.Host) -> None:
    environment = json.loads((staged.release(shop.bundle.release) / "manifest.json").read_text())[
        "environment"
    ]
    venvs = [staged.environments / environment / "venv", staged.release(shop.bundle.release) / "venv"]
    on_host = subprocess.run([sys.executable, "-c", FILES, *map(str, venvs)], capture_output=True, text=True)
    flags = (*hardened.FLAGS, "--entrypoint=/srv/release/venv/bin/python")
    in_image = hardened.once(
        engine, shop.name, "-I", "-c", FILES, "/srv/environment/venv", "/srv/release/venv", flags=flags
    )

    host, image = json.loads(on_host.stdout), json.loads(in_image.stdout)
    assert len(image) > 1000
    assert any(place.startswith("shop/") for place in image)
    assert {place for place in host | image if host.get(place) != image.get(place)} == set()


def layers(engine: Engine, name: str) -> list[str]:
    """The digests of an image's layers, unpacked: the system, the environment, the release."""
    return list(engine.inspect(name, "image")["RootFS"]["Layers"])


def test_the_same_bundle_makes_the_same_bytes_whatever_builds(engine: Engine, shop: Built) -> None:
    first = layers(engine, shop.name)

    again = images.build(engine, shop.bundle, "--fresh", "--tool=buildah")

    assert layers(engine, again.name) == first


def test_another_commit_with_the_same_lock_shares_all_but_its_own_layer(engine: Engine, shop: Built) -> None:
    later = images.bundle()
    assert later.release != shop.bundle.release

    other = images.build(engine, later)

    system, environment, release = layers(engine, other.name)
    assert [system, environment] == layers(engine, shop.name)[:2]
    assert release != layers(engine, shop.name)[2]


def test_no_secret_of_who_builds_is_in_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted where a build could find it: its environment, pip's configuration, the service's folder."""
    planted = secrets.token_hex(16)
    service = tmp_path / "hello"
    shutil.copytree(
        ROOT / "examples/hello", service, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    )
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for words in (("init", "--quiet"), ("add", "."), (*who, "commit", "--quiet", "--message=x")):
        subprocess.run(["git", "-C", service, *words], check=True)
    (service / ".env").write_text(f"SECRET_KEY={planted}\n")
    for variable in ("SECRET_KEY", "DATABASE_PASSWORD"):
        monkeypatch.setenv(variable, planted)
    made = images.bundle(service)
    # With it no wheel of the bundle could be had.
    monkeypatch.setenv("PIP_INDEX_URL", planted)

    built = images.build(engine, made, "--fresh")
    said = json.dumps(engine.inspect(built.name, "image")) + engine.podman(
        "history", "--no-trunc", built.name
    )
    saved = engine.place / "saved.tar"
    engine.podman("save", f"--output={saved}", built.name)

    try:
        with tarfile.open(saved) as archive:
            texts = [_read(archive, member) for member in archive]
    finally:
        saved.unlink()

    assert planted not in said
    assert len(texts) > 3
    assert not any(planted.encode() in text for text in texts)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def test_what_it_is_made_of_is_listed(engine: Engine, shop: Built) -> None:
    images.build(engine, shop.bundle, "--sbom")
    path = shop.bundle.path.with_name(f"shop-{shop.bundle.release}.cdx.json")
    said = json.loads(path.read_text())

    with tarfile.open(shop.bundle.path) as archive:
        lock = _read(archive, archive.getmember("requirements.lock")).decode()
    purls = {each["purl"] for each in said["components"]}
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.5")
    assert said["metadata"]["component"]["version"] == shop.bundle.release
    for package in ("fastapi", "uvicorn", "asyncpg", "slipway-migrator"):
        (found,) = [each for each in said["components"] if each["name"] == package]
        assert f"{package}=={found['version']}" in lock
        assert any(f"sha256:{each['content']}" in lock for each in found["hashes"])
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in purls)
    assert not any(purl.startswith(("pkg:deb/debian/apt@", "pkg:pypi/pip@")) for purl in purls)
    assert complaints(said) == []


def complaints(said: dict[str, Any]) -> list[str]:
    """What is wrong by the rules of CycloneDX 1.5 for what is written here."""
    found = []
    references = [each["bom-ref"] for each in said["components"]]
    if len(set(references)) != len(references):
        found.append("a bom-ref is there twice")
    for each in said["components"]:
        if each["type"] != "library" or not each["name"] or not each["version"]:
            found.append(f"{each} has no type, name or version")
        for digest in each.get("hashes", []):
            if digest["alg"] != "SHA-256" or len(digest["content"]) != 64:
                found.append(f"{each['name']} has a digest that is none")
    known = {*references, said["metadata"]["component"]["bom-ref"]}
    for each in said["dependencies"]:
        if {each["ref"], *each["dependsOn"]} - known:
            found.append(f"{each['ref']} depends on what is not listed")
    return found


@pytest.mark.parametrize("service", ["hello", "notes"])
def test_any_service_becomes_an_image(engine: Engine, service: str, request: pytest.FixtureRequest) -> None:
    built: Built = request.getfixturevalue(service)
    settings = {"NOTES_DATABASE_HOST": "/run/postgresql"}

    with hardened.container(engine, built.name, name=f"a-{service}", settings=settings) as running:
        running.answers("/nowhere", 404)
        status, headers, _ = running.get("/")
        alive = engine.run("podman", "healthcheck", "run", running.name)
        ready = engine.run("podman", "exec", running.name, "python", "-I", "/srv/release/probe", "ready")
        listed = hardened.once(engine, built.name, "no-such-command", settings=settings).stderr

    assert headers["x-release"] == built.bundle.release
    assert status < 500
    assert alive.returncode == 0
    # One needs a database to be ready, and the other has none.
    assert ready.returncode == (0 if service == "hello" else 1), ready.stderr
    assert ("worker, digest, migrate, backfill" in listed) == (service == "notes")


def test_a_base_whose_python_the_bundle_is_not_for_is_refused(engine: Engine) -> None:
    made = archive.build(
        ROOT / "examples/hello",
        output=ROOT / "build/bundles",
        targets=[Target("3.10", "x86_64")],
        allow_dirty=True,
    )
    with pytest.raises(
        AssertionError, match=r"this base has 3\.11:x86_64\. For it: fab image --targets 3\.11:x86_64"
    ):
        images.build(engine, made)


def test_a_bundle_that_a_host_would_not_take_becomes_no_image(
    engine: Engine, shop: Built, tmp_path: Path
) -> None:
    broken = tmp_path / shop.bundle.path.name
    data = bytearray(shop.bundle.path.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    with pytest.raises(AssertionError, match=r"differs from its checksum.*Nothing was built"):
        images.build(engine, replace(shop.bundle, path=broken))
