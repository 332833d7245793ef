"""A bundle that is hostile, damaged or not the one meant is refused, and the host is as it was."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, Host, member
from tests.unit.slipway.test_stage import stage


def hostile(name: str) -> list[support.Member]:
    """A good bundle's members with one thing wrong."""
    files = support.bundle_files()
    good = support.members_of(files)
    wheel = next(path for path in files if path.startswith("wheelhouse/"))
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4"}
    extra = {
        "path traversal": member("../../etc/cron.d/evil", b"x"),
        "hidden traversal": member("wheelhouse/../../evil.whl", b"x"),
        "absolute path": member("/etc/cron.d/evil", b"x"),
        "dot in path": member("./wheelhouse/evil-1.0.whl", b"x"),
        "symbolic link": member("wheelhouse/evil-1.0.whl", type=tarfile.SYMTYPE, linkname="/etc/shadow"),
        "hard link": member("wheelhouse/evil-1.0.whl", type=tarfile.LNKTYPE, linkname="manifest.json"),
        "device": member("wheelhouse/evil-1.0.whl", type=tarfile.CHRTYPE, devmajor=1, devminor=8),
        "sparse file": member(
            "wheelhouse/evil-1.0.whl", b"1\n0\n4\n".ljust(512, b"\0") + b"evil", pax_headers=sparse
        ),
        "fifo": member("wheelhouse/evil-1.0.whl", type=tarfile.FIFOTYPE),
        "setuid": member("wheelhouse/evil-1.0.whl", b"x", mode=0o4755),
        "sticky": member("wheelhouse", type=tarfile.DIRTYPE, mode=0o1777),
        "unknown top-level name": member("install.sh", b"#!/bin/sh\n"),
        "unknown directory": member("scripts", type=tarfile.DIRTYPE, mode=0o755),
        "twice": member(wheel, files[wheel]),
        "newline in name": member("wheelhouse/evil\n-1.0.whl", b"x"),
        "not in the manifest": member("wheelhouse/evil-1.0-py3-none-any.whl", b"x"),
    }
    if name in extra:
        return [*good, extra[name]]
    other = {**files, wheel: files[wheel] + b"\0"}
    changed = {
        "file differs from manifest": support.members_of(other, support.manifest_of(files)),
        "file missing": [pair for pair in good if pair[0].name != wheel],
        "no manifest": [pair for pair in good if pair[0].name != "manifest.json"],
        "manifest is no JSON": [member("manifest.json", b"{"), *good[:1]],
        "other schema": support.members_of(files, support.manifest_of(files, schema=2)),
        "other app": support.members_of(files, support.manifest_of(files, app="blog")),
        "release is a path": support.members_of(files, support.manifest_of(files, release="../../../etc/xx")),
        "id and commit differ": support.members_of(files, support.manifest_of(files, git_sha="f" * 40)),
        "wrong python": support.members_of(
            files, support.manifest_of(files, targets=[{"python": "3.7", "machine": os.uname().machine}])
        ),
        "wrong machine": support.members_of(
            files, support.manifest_of(files, targets=[{"python": "3.11", "machine": "s390x"}])
        ),
        "index in the lock": support.members_of(
            {**files, "requirements.lock": b"--index-url=http://evil/\n"}
        ),
        "file in the lock": support.members_of({**files, "requirements.lock": b"-r /etc/shadow\n"}),
        "unhashed in the lock": support.members_of({**files, "requirements.lock": b"tiny==1.0\n"}),
    }
    return changed[name]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("path traversal", "bundle-member"),
        ("hidden traversal", "bundle-member"),
        ("absolute path", "bundle-member"),
        ("dot in path", "bundle-member"),
        ("symbolic link", "bundle-member"),
        ("hard link", "bundle-member"),
        ("device", "bundle-member"),
        ("fifo", "bundle-member"),
        ("sparse file", "bundle-member"),
        ("setuid", "bundle-member"),
        ("sticky", "bundle-member"),
        ("unknown top-level name", "bundle-member"),
        ("unknown directory", "bundle-member"),
        ("twice", "bundle-member"),
        ("newline in name", "bundle-member"),
        ("not in the manifest", "bundle-content"),
        ("file differs from manifest", "bundle-content"),
        ("file missing", "bundle-content"),
        ("no manifest", "bundle-manifest"),
        ("manifest is no JSON", "bundle-manifest"),
        ("other schema", "bundle-manifest"),
        ("other app", "bundle-manifest"),
        ("release is a path", "bundle-manifest"),
        ("id and commit differ", "bundle-manifest"),
        ("wrong python", "wrong-target"),
        ("wrong machine", "wrong-target"),
        ("index in the lock", "bundle-content"),
        ("file in the lock", "bundle-content"),
        ("unhashed in the lock", "bundle-content"),
    ],
)
def test_a_hostile_bundle_is_refused_and_leaves_no_trace(
    host: Host, slipway: Slipway, tmp_path: Path, wrong: str, code: str
) -> None:
    bundle = support.pack(tmp_path / "bundle.tar.gz", hostile(wrong))
    before = support.snapshot(host.root)

    answer = stage(slipway, bundle)

    assert (answer.code, answer.error) == (2, code), answer.json
    assert "Nothing was changed." in answer.message
    assert support.snapshot(host.root) == before


def damaged(bundle: Path, how: str) -> Path:
    data = bytearray(bundle.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "trailer cut off":
        data = data[:-6]
    elif how == "bit flipped":
        data[len(data) // 2] ^= 0x10
    elif how == "not an archive":
        data = bytearray(b"hello, world\n")
    else:
        data = bytearray()
    bundle.write_bytes(data)
    return bundle


@pytest.mark.parametrize("how", ["truncated", "trailer cut off", "bit flipped", "not an archive", "empty"])
def test_a_damaged_bundle_is_refused_even_with_a_matching_checksum(
    host: Host, slipway: Slipway, tmp_path: Path, how: str
) -> None:
    bundle = damaged(support.good_bundle(tmp_path), how)
    before = support.snapshot(host.root)

    answer = stage(slipway, bundle)

    assert answer.code == 2, answer.json
    assert support.snapshot(host.root) == before


@pytest.mark.parametrize("how", ["truncated", "bit flipped"])
def test_a_bundle_changed_on_the_way_is_refused(
    host: Host, slipway: Slipway, tmp_path: Path, how: str
) -> None:
    bundle = support.good_bundle(tmp_path)
    expected = support.sha256(bundle)
    before = support.snapshot(host.root)

    answer = slipway("stage", "--bundle", "-", "--sha256", expected, given=damaged(bundle, how))

    assert (answer.code, answer.error) == (2, "checksum")
    assert support.snapshot(host.root) == before


def test_data_hidden_after_the_end_of_the_archive_is_refused(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    bundle = support.good_bundle(tmp_path)
    bundle.write_bytes(bundle.read_bytes() + gzip.compress(b"more"))

    answer = stage(slipway, bundle)

    assert (answer.code, answer.error) == (2, "bundle-damaged")


@pytest.mark.parametrize("kind", ["missing", "directory", "symbolic link", "fifo"])
def test_a_path_that_is_no_bundle_is_refused(host: Host, slipway: Slipway, kind: str) -> None:
    path = host.incoming / "bundle.tar.gz"
    if kind == "directory":
        path.mkdir()
    elif kind == "symbolic link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)

    answer = slipway("stage", "--bundle", str(path), "--sha256", "0" * 64)

    assert (answer.code, answer.error) == (2, "bundle-missing")


def test_another_release_than_the_one_asked_for_is_refused(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    bundle = support.good_bundle(tmp_path)
    renamed = bundle.rename(tmp_path / f"shop-{OTHER}.tar.gz")
    before = support.snapshot(host.root)

    asked = stage(slipway, renamed, "--release", OTHER)

    assert (asked.code, asked.error) == (2, "release-mismatch")
    assert support.snapshot(host.root) == before
