"""A lab's hosts get certificates that verify, and keep them until there is a reason for new ones."""

from __future__ import annotations

import datetime
import fcntl
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.unit.plugins.ansible_run import load_plugin, play

private_certificate = load_plugin("action/private_certificate")

NAMES = ["shop-1", "app.slipway.internal"]
ADDRESSES = ["192.0.2.10", "2001:db8::10"]


def ensure(folder: Path, **changed: Any) -> bool:
    """Whether a certificate was issued."""
    wanted = {"name": "shop-1", "names": NAMES, "addresses": ADDRESSES, "days": 90, **changed}
    authority = private_certificate.ensure_authority(folder)
    return bool(private_certificate.ensure_certificate(folder, authority, **wanted))


def verify(folder: Path, host: str, *options: str) -> str:
    """What openssl says to the chain; it must not refuse it."""
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *options]
    done = subprocess.run(
        [*command, "-CAfile", folder / "ca.pem", folder / f"{host}.pem"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def certificate(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "shop-1.pem").read_bytes())


def test_a_certificate_verifies_for_each_of_its_names_and_addresses(tmp_path: Path) -> None:
    assert ensure(tmp_path)

    for name in NAMES:
        assert verify(tmp_path, "shop-1", "-verify_hostname", name)
    for address in ADDRESSES:
        assert verify(tmp_path, "shop-1", "-verify_ip", address)


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    ensure(tmp_path)

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert modes == {"ca.key": "0o600", "ca.pem": "0o644", "shop-1.key": "0o600", "shop-1.pem": "0o644"}


def test_it_is_issued_once(tmp_path: Path) -> None:
    ensure(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert not ensure(tmp_path, names=list(reversed(NAMES)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("changed", [{"names": ["shop-1", "shop.example"]}, {"addresses": ["192.0.2.99"]}])
def test_other_names_ask_for_another_certificate(tmp_path: Path, changed: dict[str, list[str]]) -> None:
    ensure(tmp_path)

    assert ensure(tmp_path, **changed)
    assert not ensure(tmp_path, **changed)
    assert verify(tmp_path, "shop-1")


def test_it_is_issued_anew_thirty_days_before_its_end(tmp_path: Path) -> None:
    ensure(tmp_path, days=29)

    assert ensure(tmp_path, days=90)
    left = certificate(tmp_path).not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    assert left > datetime.timedelta(days=89)


def test_a_certificate_of_a_few_days_is_not_issued_anew_by_every_run(tmp_path: Path) -> None:
    ensure(tmp_path, days=10)

    assert not ensure(tmp_path, days=10)


def spoil_key(folder: Path) -> None:
    ensure(folder, name="other")
    (folder / "other.key").replace(folder / "shop-1.key")


def spoil_authority(folder: Path) -> None:
    for name in ("ca.pem", "ca.key"):
        (folder / name).unlink()


def spoil_certificate(folder: Path) -> None:
    (folder / "shop-1.pem").write_bytes(b"")


@pytest.mark.parametrize("spoil", [spoil_key, spoil_authority, spoil_certificate])
def test_what_does_not_belong_together_is_issued_anew(tmp_path: Path, spoil: Any) -> None:
    ensure(tmp_path)
    spoil(tmp_path)

    assert ensure(tmp_path)
    assert verify(tmp_path, "shop-1")
    assert not ensure(tmp_path)


def test_hosts_of_one_run_share_one_authority(tmp_path: Path) -> None:
    hosts = [f"host-{number}" for number in range(6)]
    folder = tmp_path / "pki"
    names = {"name": "{{ inventory_hostname }}", "names": "{{ [inventory_hostname] }}", "addresses": []}
    task = {"name": "Issue", "private_certificate": {"directory": str(folder), "days": 90, **names}}

    outcome = play(tmp_path, [task], hosts=",".join(hosts))

    assert outcome.status == 0, outcome.printed
    assert [result["issued"] for _, _, result in outcome.rows] == [True] * len(hosts)
    for host in hosts:
        assert verify(folder, host, "-verify_hostname", host)
    assert oct(os.stat(folder).st_mode & 0o777) == "0o700"


def waits_for(lock: Path) -> bool:
    """Whether a process is waiting for the lock on a file."""
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if " -> FLOCK " in line]
    return any(words[-3].endswith(f":{lock.stat().st_ino}") for words in waiting)


def test_a_run_waits_while_another_issues(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    folder.mkdir()
    names = {"name": "shop-1", "names": ["shop-1"], "addresses": [], "days": 90}
    task = {"name": "Issue", "private_certificate": {"directory": str(folder), **names}}
    with (folder / ".lock").open("w") as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = pool.submit(play, tmp_path, [task])
        while not waits_for(folder / ".lock"):
            assert not run.done(), f"it did not wait: {run.result().printed}"
            time.sleep(0.05)
        assert [path.name for path in folder.iterdir()] == [".lock"]
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert run.result().ok("Issue")["issued"]


def test_an_unknown_argument_is_a_sentence(tmp_path: Path) -> None:
    outcome = play(tmp_path, [{"name": "Issue", "private_certificate": {"domain": "shop.example"}}])

    assert "private_certificate does not know domain." in outcome.sentence("Issue")
