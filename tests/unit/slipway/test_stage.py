"""Staging a bundle: what a host has afterwards, again and when the disk is full."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.cli import main

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import RELEASE, Host


def stage(slipway: Slipway, bundle: Path, *words: str, **options: Any) -> Any:
    """By standard input, as fab ships it."""
    return slipway(*support.staging(bundle), *words, given=bundle, **options)


def test_a_good_bundle_becomes_a_complete_release(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = support.good_bundle(tmp_path, application={"shop/cli.py": "print('hello from the release')\n"})

    answer = stage(slipway, bundle)

    release = host.release(RELEASE)
    assert answer.json["changed"] is True
    assert answer.result["path"] == str(release)
    said = subprocess.run([release / "venv/bin/python", "-m", "shop.cli"], capture_output=True, text=True)
    assert said.stdout == "hello from the release\n", said.stderr
    assert (release / "venv").joinpath("pyvenv.cfg").is_file()
    assert os.readlink(release / "http.sock") == str(host.runtime_socket(RELEASE))
    assert os.readlink(release / "metrics.sock") == str(host.runtime_socket(RELEASE).parent / "metrics.sock")
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["bundle_sha256"] == support.sha256(bundle)
    assert list(host.staging.iterdir()) == []
    assert list(host.incoming.iterdir()) == []


def test_a_release_is_built_by_the_hosts_own_venv_and_pip(tmp_path: Path, host: Host) -> None:
    bundle = support.good_bundle(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from pathlib import Path;"
        "from slipway.cli import main; from slipway.host import Host;"
        "fake = Path(sys.argv[1]).parent / 'fake';"
        "host = Host('shop', Path(sys.argv[1]), str(fake / 'systemctl'), str(fake / 'systemd-run'));"
        "sys.exit(main(sys.argv[2:], host))"
    )
    with bundle.open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", program, str(support.FILES), str(host.root), *support.staging(bundle)],
            stdin=stream,
            capture_output=True,
            text=True,
        )

    assert done.returncode == 0, done.stdout
    for folder, name in (
        (host.release(RELEASE), "shop"),
        (host.environments, "tiny"),
        (host.environments, "pip"),
    ):
        (library,) = (path.parent for path in folder.rglob(f"site-packages/{name}"))
        assert list(library.glob(f"{name}-*.dist-info")), name
        assert list(library.glob(f"{name}/__pycache__/*.pyc")), name


def test_only_the_owner_can_write_to_a_release(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    stage(slipway, support.good_bundle(tmp_path), umask=0)

    release = host.release(RELEASE)
    writable = [
        path
        for path in [release, *release.rglob("*")]
        if not path.is_symlink() and path.lstat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ]
    assert writable == []
    assert stat.S_IMODE(release.stat().st_mode) == 0o755


def test_staging_the_same_bundle_again_changes_nothing(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = support.good_bundle(tmp_path)
    stage(slipway, bundle)
    before = support.snapshot(host.root)

    answer = stage(slipway, bundle)

    assert (answer.code, answer.json["changed"]) == (0, False)
    assert support.snapshot(host.root) == before


def test_a_bundle_is_taken_from_the_folder_to_which_site_yml_ships_it(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    bundle = support.good_bundle(host.incoming)

    answer = slipway("stage", "--bundle", str(bundle), "--sha256", support.sha256(bundle))

    assert answer.result["release"] == RELEASE


def test_a_bundle_is_taken_from_standard_input(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = support.good_bundle(tmp_path)
    answer = slipway("stage", "--bundle", "-", "--sha256", support.sha256(bundle), given=bundle)

    assert answer.result["release"] == RELEASE
    assert host.release(RELEASE).joinpath("manifest.json").is_file()


def test_the_same_release_id_from_other_bytes_is_refused(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    stage(slipway, support.good_bundle(tmp_path))
    before = support.snapshot(host.root)

    answer = stage(slipway, support.good_bundle(tmp_path, application={"shop/more.py": ""}))

    assert (answer.code, answer.error) == (2, "release-conflict")
    assert support.snapshot(host.root) == before


@pytest.mark.parametrize("full", ["releases", "staging", "incoming"])
def test_a_full_disk_is_refused_before_anything_is_written(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], full: str
) -> None:
    bundle = support.good_bundle(tmp_path)
    before = support.snapshot(host.root)

    with support.standard_input(bundle):
        code = main(
            support.staging(bundle),
            replace(host, free_bytes=lambda path: 1000 if path.name == full else 10**9),
        )

    assert code == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "disk-space"
    assert support.snapshot(host.root) == before


def test_a_disk_that_fills_up_during_the_installation_leaves_no_release(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    # Compresses to little, so the bundle arrives whole and pip meets the limit.
    bundle = support.good_bundle(tmp_path, application={"shop/big.py": f"TEXT = '{'x' * 3_000_000}'\n"})

    answer = stage(slipway, bundle, limit_bytes=1_000_000)

    assert (answer.code, answer.error) == (3, "install-failed"), answer.json
    assert list(host.releases.iterdir()) == []
    assert list(host.staging.iterdir()) == []
    assert stage(slipway, bundle).json["changed"] is True
