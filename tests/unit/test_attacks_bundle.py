"""What a crafted bundle tries, to have its own code run by the host's root: refused, and nothing is changed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from slipway.cli import main
from slipway.errors import RefusedError, StepError
from slipway.releases import handover, requirements
from slipway.releases.builder import PROPERTIES

from tests.unit.conftest import Slipway
from tests.unit.fabfile.signing_support import engineer, let_sign
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_stage import stage

HASH = "--hash=sha256:" + "a" * 64
# A file name that holds a line break in UTF-7: pip obeys an encoding that a comment declares.
HIDDEN_BREAK = "+" + base64.b64encode("\n".encode("utf-16-be")).decode().rstrip("=") + "-"


def with_lock(
    folder: Path, lock: bytes, extra: dict[str, bytes] | None = None, release: str = RELEASE
) -> Path:
    files = {**support.bundle_files(), "requirements.lock": lock, **(extra or {})}
    return support.pack(
        folder / "bundle.tar.gz", support.members_of(files, support.manifest_of(files, release))
    )


@pytest.mark.parametrize(
    "lock",
    [
        f"# locked by uv \\\n/tmp/evil.tar.gz {HASH}\n".encode(),
        f"# -*- coding: utf-7 -*-\n# x {HIDDEN_BREAK}/tmp/evil.tar.gz {HASH}\n".encode(),
        f"# coding: utf-16\n# \n{HASH}".encode("utf-16"),
        f"tiny==1.0 {HASH}\r/tmp/evil.tar.gz {HASH}\n".encode(),
        f"tiny==1.0 {HASH}\x0b/tmp/evil.tar.gz {HASH}\n".encode(),
        f"tiny==1.0 {HASH}\u2028/tmp/evil.tar.gz {HASH}\n".encode(),
        f"tiny @ file:///tmp/evil.tar.gz {HASH}\n".encode(),
        f"./evil.tar.gz {HASH}\n".encode(),
        f"tiny==1.0 ; python_version > '3' --index-url=http://evil/ {HASH}\n".encode(),
        f"tiny==1.0 {HASH} --global-option=x {HASH}\n".encode(),
        f"tiny==1.0 ; x\\\n-r /etc/shadow {HASH}\n".encode(),
        b"tiny==1.0 " + HASH.encode() + b" \\",
    ],
)
def test_pip_never_reads_a_lock_that_slipway_did_not_write(lock: bytes) -> None:
    """Refused, or understood as pins alone: what pip is given holds nothing else."""
    try:
        written = requirements.render(requirements.parse(lock))
    except RefusedError:
        return
    assert "evil" not in written
    assert all(line.split("==")[0] == "tiny" and line.count("--hash") == 1 for line in written.splitlines())


@pytest.mark.parametrize("name", ["pip", "Pip"])
def test_a_bundle_cannot_bring_what_installs_the_others(
    host: Host, slipway: Slipway, tmp_path: Path, name: str
) -> None:
    file, content = support.tiny_wheel(name, version="99.0")
    digest = hashlib.sha256(content).hexdigest()
    lock = f"{name}==99.0 --hash=sha256:{digest}\n".encode()
    before = support.snapshot(host.root)

    pinned = stage(slipway, with_lock(tmp_path, lock))
    carried = stage(slipway, with_lock(tmp_path, b"", {f"wheelhouse/{file}": content}))

    assert (pinned.code, carried.code) == (2, 2), (pinned.json, carried.json)
    assert support.snapshot(host.root) == before


def test_a_service_may_pin_setuptools_which_installs_nothing_here(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    """Some import pkg_resources. What it brings is the release's own, and the pip beside it is the host's still."""
    file, content = support.tiny_wheel(
        "setuptools", {"pip/__init__.py": "raise SystemExit('taken over')\n"}, "99.0"
    )
    lock = f"setuptools==99.0 --hash=sha256:{hashlib.sha256(content).hexdigest()}\n".encode()

    for release in (RELEASE, OTHER):
        answer = stage(slipway, with_lock(tmp_path, lock, {f"wheelhouse/{file}": content}, release))
        assert answer.code == 0, answer.json


def test_what_pip_reads_is_the_pins_alone() -> None:
    lock = (
        b"# This file was made by a tool\n"
        b"anyio==4.9.0 ; python_version < '3.12' and sys_platform == 'linux' \\\n"
        b"    --hash=sha256:"
        + b"a" * 64
        + b" \\\n    --hash=sha256:"
        + b"b" * 64
        + b"\n    # via starlette\n"
        b"uvicorn[standard]==0.54.0 --hash=sha256:" + b"c" * 64 + b"  # via shop\n"
    )

    assert requirements.render(requirements.parse(lock)).splitlines() == [
        "anyio==4.9.0 ; python_version < '3.12' and sys_platform == 'linux' "
        f"--hash=sha256:{'a' * 64} --hash=sha256:{'b' * 64}",
        f"uvicorn[standard]==0.54.0 --hash=sha256:{'c' * 64}",
    ]


def test_whoever_builds_an_environment_is_nobody_and_has_no_network() -> None:
    assert {"DynamicUser=yes", "PrivateNetwork=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet="} <= {
        *PROPERTIES
    }


@pytest.mark.parametrize(
    "planted",
    ["setuid", "setgid folder", "link out", "link out by folders", "absolute link", "hard link", "fifo"],
)
def test_what_was_built_is_not_taken_over_when_it_leads_out(tmp_path: Path, planted: str) -> None:
    tree = tmp_path / "scratch/venv"
    (tree / "bin").mkdir(parents=True)
    path = tree / "bin/evil"
    if planted == "setuid":
        path.write_bytes(b"")
        path.chmod(0o4755)
    elif planted == "setgid folder":
        path.mkdir()
        path.chmod(0o2777)
    elif planted == "link out":
        path.symlink_to("../../../secret")
    elif planted == "link out by folders":
        (tree / "bin/up").symlink_to("..")
        path.symlink_to("up/../../secret")
    elif planted == "absolute link":
        path.symlink_to("/etc/shadow")
    elif planted == "hard link":
        (tmp_path / "secret").write_text("root's")
        os.link(tmp_path / "secret", path)
    else:
        os.mkfifo(path)

    with pytest.raises(StepError, match="not to be trusted"):
        handover.take_over(tree, os.path.realpath(sys.executable))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else, and take them over")
def test_what_was_built_is_roots_in_the_end_and_only_root_can_write_to_it(tmp_path: Path) -> None:
    tree = tmp_path / "venv"
    (tree / "lib/deep").mkdir(parents=True)
    (tree / "lib/deep/module.py").write_text("x = 1")
    (tree / "lib64").symlink_to("lib")
    for path in (tree, *tree.rglob("*")):
        os.chown(path, 61234, 61234, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o777)

    handover.take_over(tree, os.path.realpath(sys.executable))

    for path in (tree, *tree.rglob("*")):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        assert path.is_symlink() or not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH), path


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/passwd", "/does/not/exist", "./bundle.tar.gz"])
def test_slipway_tells_nothing_of_a_file_that_only_root_can_read(
    host: Host, slipway: Slipway, path: str
) -> None:
    answer = slipway("stage", "--bundle", path, "--sha256", "0" * 64)

    assert (answer.code, answer.error) == (2, "bundle-place")
    assert answer.json["error"]["details"] == {}


@pytest.mark.parametrize("how", ["unsigned", "by a stranger", "with the signature of another"])
def test_the_deploy_users_key_alone_brings_no_code(
    host: Host, slipway: Slipway, tmp_path: Path, how: str
) -> None:
    """Whoever took it can log in and call slipway, and has no engineer's key to sign with."""
    ada, eve = engineer(tmp_path, "ada"), engineer(tmp_path, "eve")
    let_sign(host, ada.line())
    evil = support.good_bundle(tmp_path, application={"shop/cli.py": "print('evil')"})
    known = support.good_bundle(tmp_path, OTHER)
    words = {
        "unsigned": [],
        "by a stranger": ["--signature", eve.signs(evil)],
        "with the signature of another": ["--signature", ada.signs(known)],
    }[how]
    before = support.snapshot(host.root)

    assert stage(slipway, evil, *words).code == 2
    assert support.snapshot(host.root) == before


@pytest.mark.parametrize("replaced", ["in place", "by another file", "by a link"])
def test_a_bundle_that_is_swapped_once_its_signature_was_looked_at_is_found_out(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], replaced: str
) -> None:
    """What shipped it may still write to it: here in the very moment in which ssh-keygen has said yes."""
    ada = engineer(tmp_path, "ada")
    let_sign(host, ada.line())
    bundle = support.good_bundle(host.incoming)
    evil = support.good_bundle(tmp_path, OTHER)
    swap = {
        "in place": f"cat '{evil}' > '{bundle}'",
        "by another file": f"mv '{evil}' '{bundle}'",
        "by a link": f"ln -sf '{evil}' '{bundle}'",
    }[replaced]
    program = tmp_path / "ssh-keygen"
    program.write_text(f'#!/bin/sh\nssh-keygen "$@" || exit; {swap}\n')
    program.chmod(0o755)
    words = ["--sha256", support.sha256(bundle), "--signature", ada.signs(bundle)]

    code = main(["stage", "--bundle", str(bundle), *words], replace(host, ssh_keygen=str(program)))

    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["error"]["code"]) in [(2, "checksum"), (2, "bundle-missing")], answer
    assert list(host.releases.iterdir()) == []
    assert RELEASE not in str(list(host.staging.iterdir()))
