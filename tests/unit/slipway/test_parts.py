"""A bundle in parts: what a host has is only named, and what it puts together is judged as the whole is."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from fabfile.rollout import shipping
from tests.unit.conftest import Answer, Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host


def plain(folder: Path, release: str = RELEASE) -> Path:
    """A bundle as `fab build` makes it: an archive that is not compressed."""
    files = support.bundle_files()
    path = folder / f"shop-{release}.tar"
    with tarfile.open(path, "w") as archive:
        for member, data in support.members_of(files, support.manifest_of(files, release)):
            archive.addfile(member, io.BytesIO(data))
    return path


def send(slipway: Slipway, bundle: Path, sent: bytes) -> Answer:
    told = bundle.with_suffix(".parts")
    told.write_bytes(sent)
    return slipway(*support.staging(bundle), "--parts", given=told)


def named(bundle: Path, *lacking: str) -> bytes:
    return b"".join(shipping.parts(bundle, lacking))


def test_a_wheel_that_is_here_is_not_shipped_again(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    first, second = plain(tmp_path), plain(tmp_path, OTHER)
    slipway(*support.staging(first), given=first)
    tiny = support.tiny_wheel("tiny")[1]

    answer = send(slipway, second, named(second))

    assert answer.result["bundle_sha256"] == support.sha256(second)
    assert tiny not in named(second)
    assert tiny in second.read_bytes()


def test_what_is_missing_is_named_and_sent_then(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = plain(tmp_path)
    before = support.snapshot(host.root)

    refused = send(slipway, bundle, named(bundle))
    missing = refused.json["error"]["details"]["missing"]

    assert (refused.code, refused.error, len(missing)) == (2, "wheels-missing", 1)
    assert support.snapshot(host.root) == before
    assert send(slipway, bundle, named(bundle, *missing)).result["release"] == RELEASE


@pytest.mark.parametrize("changed", [b"", b"another wheel"])
def test_a_kept_wheel_that_was_changed_is_asked_for_again(
    host: Host, slipway: Slipway, tmp_path: Path, changed: bytes
) -> None:
    first, second = plain(tmp_path), plain(tmp_path, OTHER)
    slipway(*support.staging(first), given=first)
    (kept,) = host.wheels.iterdir()
    kept.write_bytes(changed)

    refused = send(slipway, second, named(second))

    assert refused.json["error"]["details"]["missing"] == [kept.stem]
    assert send(slipway, second, named(second, kept.stem)).result["release"] == OTHER
    assert support.sha256(kept) == kept.stem


def test_a_link_in_the_place_of_a_wheel_is_not_followed(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = plain(tmp_path)
    wheel = tmp_path / "elsewhere"
    wheel.write_bytes(support.tiny_wheel("tiny")[1])
    (host.wheels / f"{support.sha256(wheel)}.whl").symlink_to(wheel)

    assert send(slipway, bundle, named(bundle)).code != 0


@pytest.mark.parametrize(
    "hostile",
    [
        b"bytes 5\nhell",
        b"bytes 99999999999\n",
        b"bytes -1\n",
        b"bytes\n",
        b"wheel ../../etc/shadow\n",
        b"wheel " + b"A" * 64 + b"\n",
        b"file /etc/shadow\n",
        b"x" * 100_000,
        b"bytes 3\nabc",
        b"",
    ],
)
def test_parts_that_are_none_are_refused(
    host: Host, slipway: Slipway, tmp_path: Path, hostile: bytes
) -> None:
    bundle = plain(tmp_path)
    before = support.snapshot(host.root)

    answer = send(slipway, bundle, hostile)

    assert (answer.code, answer.error) in [(2, "bundle-parts"), (2, "checksum")]
    assert support.snapshot(host.root) == before


def test_parts_that_make_another_bundle_are_refused(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = plain(tmp_path)
    sent = named(bundle, hashlib.sha256(support.tiny_wheel("tiny")[1]).hexdigest())

    answer = send(slipway, bundle, sent.replace(b"0001", b"0002"))

    assert (answer.code, answer.error) == (2, "checksum")


def test_a_wheel_that_is_not_what_its_manifest_lists_is_never_only_named(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    first, second = plain(tmp_path), plain(tmp_path, OTHER)
    slipway(*support.staging(first), given=first)
    tiny = support.tiny_wheel("tiny")[1]
    second.write_bytes(second.read_bytes().replace(tiny, b"x" + tiny[1:]))

    answer = send(slipway, second, named(second))

    assert (answer.code, answer.error) == (2, "bundle-content")
    assert "wheelhouse/" in answer.message
