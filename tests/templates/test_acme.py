"""A public name's certificate from an authority: what clients are shown, and what they are shown when it goes wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from tests.lab import authority
from tests.once import made_once
from tests.templates import acme_ground, checkers
from tests.templates.acme_ground import DIRECTORY, LIVE, NAMES, NGINX, Edge, edge, wait_for, whole
from tests.templates.rendering import Case, render

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks certbot, Pebble and nginx")

# As long as those of public authorities were in 2026.
DAY = 86400
VALID = 90 * DAY
RECORD = "/var/lib/slipway/shop/acme.json"
STRANGER, NOWHERE, BARRED = "stranger.test", "nowhere.test", "barred.test"


def asking(folder: Path) -> None:
    render(
        Case("lab", acme_ground.PLATFORM), folder, render_only=["nginx", "acme"], certificates_public_source="acme",
        acme_mail="operations@shop.example", acme_authority="/dev/null", acme_directory=DIRECTORY,
        nginx_server_names=list(NAMES),
    )  # fmt: skip


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := checkers.unavailable(authority.SUITE):
        pytest.skip(reason)
    return made_once(tmp_path_factory, "asking", asking) / "shop-1"


@pytest.fixture(scope="module")
def issued(tree: Path) -> Iterator[Edge]:
    """An edge that has asked once."""
    with edge(tree, certificateValidityPeriod=VALID, domainBlocklist=[BARRED]) as found:
        found.point(STRANGER, "127.0.0.1")
        before = found.shown()
        done = found.renew()
        assert done.returncode == 0, done.stderr
        assert found.shown() == found.lies() != before
        yield found


@pytest.fixture
def kept(issued: Edge) -> Iterator[Edge]:
    """The same, whose settings are put back and whose pair clients see afterwards."""
    settings = issued.path("/etc/slipway/shop/acme.conf").read_text()
    yield issued
    issued.path("/etc/slipway/shop/acme.conf").write_text(settings)
    issued.path("/srv/shop/maintenance").unlink(missing_ok=True)
    assert issued.shown() == issued.lies()


def refused(found: Edge) -> str:
    """What a renewal says that fails; what clients are shown, and what lies there, stays as it was."""
    before, lay = found.shown(), found.path(LIVE).read_bytes()
    done = found.renew_later()
    assert done.returncode == 1, done.stdout
    assert (found.shown(), found.path(LIVE).read_bytes()) == (before, lay)
    assert found.look()["said"] == done.stderr.strip()
    assert "stays as it was" in done.stderr
    assert "systemctl start slipway-acme-shop.service" in done.stderr
    return done.stderr


def test_what_the_authority_gave_is_readable_by_nginx_alone_and_nothing_is_asked_twice(kept: Edge) -> None:
    found = kept.path(LIVE).stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o640)
    assert found.st_gid == int(kept.run("id", "-g", "www-data").stdout)
    assert {path.name for path in kept.path("/etc/ssl/slipway").iterdir()} == {
        "acme.pem", "acme-ca.pem", "ca.pem", "host.pem"
    }  # fmt: skip
    said = kept.run("openssl", "x509", "-noout", "-text", given=kept.shown()).stdout
    assert all(f"DNS:{name}" in said for name in NAMES), said
    assert "id-ecPublicKey" in said
    orders = kept.orders()

    assert kept.look()["waits"] == ""
    assert kept.renew().returncode == 0
    assert kept.orders() == orders


def test_it_is_renewed_when_a_third_of_its_time_is_left_and_in_maintenance_too(kept: Edge) -> None:
    before, orders = kept.shown(), kept.orders()
    kept.path("/srv/shop/maintenance").touch()
    assert kept.renew_later(days=59.9).returncode == 0
    assert (kept.shown(), kept.orders()) == (before, orders)

    done = kept.renew_later(days=60.1)

    assert done.returncode == 0, done.stderr
    assert "a third of its time is left" in done.stdout
    assert kept.orders() == orders + 1
    assert kept.shown() == kept.lies() != before


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([STRANGER], r"not this host \(unauthorized|could not reach port 80 .*\(connection"),
        ([NOWHERE], r"could not reach port 80 of this name \(connection: .*could not resolve"),
        ([BARRED], r"does not issue for this name \(rejectedIdentifier"),
    ],
    ids=["a name that is not served here", "a name without an address", "a name that is barred"],
)
def test_what_the_authority_refuses_is_said_in_its_words(kept: Edge, names: list[str], said: str) -> None:
    kept.settings(names=" ".join([*NAMES, *names]))

    sentence = refused(kept)

    assert re.search(said, sentence), sentence
    assert names[0] in sentence


def test_an_authority_that_is_away_is_named_with_the_place_of_all_that_was_said(kept: Edge) -> None:
    kept.settings(directory="https://127.0.0.1:9/dir")

    sentence = refused(kept)

    assert "https://127.0.0.1:9/dir gave no certificate" in sentence
    assert "/var/log/letsencrypt/letsencrypt.log" in sentence


@contextmanager
def away(found: Edge) -> Iterator[None]:
    """Nobody answers where the authority was; it forgets nothing."""
    inside = ["nsenter", f"--target={found.pid}", "--net", "nft"]
    rule = "chain out { type filter hook output priority 0; tcp dport 14000 reject with tcp reset; }"
    subprocess.run([*inside, f"table inet away {{ {rule}; }}"], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "delete table inet away"], check=True)


def test_an_authority_that_is_away_for_thirty_days_is_asked_each_day_and_the_old_pair_is_served(
    kept: Edge,
) -> None:
    before, orders = kept.shown(), kept.orders()
    # From then on the alert CertificateNotRenewed counts.
    end = x509.load_pem_x509_certificate(before.encode()).not_valid_after_utc.timestamp()
    due = (end - VALID / 3 - time.time()) / DAY
    with away(kept):
        assert kept.renew_later(days=due - 0.1).returncode == 0
        for day in range(1, 30):
            done = kept.renew_later(days=due + day)
            assert done.returncode == 1, (day, done.stdout)
            assert f"{DIRECTORY} gave no certificate" in done.stderr
    assert (kept.shown(), kept.orders()) == (before, orders)
    # Nothing of it is given up: the next try is the one that is answered.
    assert kept.renew_later(days=due + 29.9).returncode == 0
    assert kept.shown() == kept.lies() != before


def test_a_kill_at_any_step_leaves_the_old_pair_or_the_new_one_and_the_next_run_ends_it(kept: Edge) -> None:
    issue_beside(kept)
    steps = int(kept.renew_later(days=0).stdout.rpartition("steps")[2])
    left = set()
    for step in range(1, steps + 1):
        old, new = kept.lies(), issue_beside(kept)
        done = kept.renew_later(days=0, kill=step)
        assert done.returncode in (-9, 137), (step, done)
        assert whole(kept.path(LIVE).read_text()), step
        shown = kept.shown()
        assert shown == kept.lies(), step
        assert shown in (old, new), step
        left.add(shown == new)
        assert kept.renew().returncode == 0, step
        assert kept.shown() == kept.lies() == new, step
        assert not [
            path for path in kept.path("/etc/ssl/slipway").iterdir() if path.suffix in (".new", ".before")
        ]
    print(f"{steps} steps")
    assert steps > 12
    assert left == {False, True}


def issue_beside(found: Edge) -> str:
    """A lineage that is new, as certbot leaves it, made without asking; the certificate."""
    live = found.path("/etc/letsencrypt/live/shop")
    made = found.run("sh", "-c", MADE)
    assert made.returncode == 0, made.stderr
    chain = found.path("/pebble/leaf.pem").read_text()
    (live / "fullchain.pem").write_text(chain + found.path("/pebble/authority.pem").read_text())
    (live / "privkey.pem").write_text(found.path("/pebble/leaf.key").read_text())
    return chain


CURVE = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
MADE = f"""
set -e
cd /pebble
[ -e authority.pem ] || openssl req -x509 {CURVE} -subj /CN=authority -days 90 -keyout authority.key -out authority.pem
openssl req {CURVE} -new -subj /CN=leaf -keyout leaf.key -out leaf.csr
printf 'subjectAltName={",".join(f"DNS:{name}" for name in NAMES)}' > names
openssl x509 -req -in leaf.csr -CA authority.pem -CAkey authority.key -CAcreateserial -extfile names -out leaf.pem
"""


def test_a_pair_that_does_not_fit_never_reaches_clients_and_is_asked_for_anew(kept: Edge) -> None:
    issue_beside(kept)
    key = kept.path("/etc/letsencrypt/live/shop/privkey.pem")
    key.write_text((kept.folder / "own.key").read_text())
    orders = kept.orders()
    assert "does not fit" in kept.look()["waits"]

    done = kept.renew()

    assert done.returncode == 0, done.stderr
    assert kept.orders() == orders + 1
    assert whole(kept.path(LIVE).read_text())


def test_a_pair_that_nginx_does_not_show_is_taken_back(kept: Edge) -> None:
    before = kept.path(LIVE).read_bytes()
    issue_beside(kept)
    kept.stop("nginx")

    done = kept.renew_later(days=0)

    assert done.returncode == 1
    assert "the one before was put back" in done.stderr
    assert kept.path(LIVE).read_bytes() == before
    kept.start("nginx", *NGINX)
    wait_for(lambda: kept.renew().returncode == 0, "a renewal by nginx that is back")
    assert kept.path(LIVE).read_bytes() != before


def test_an_edge_that_is_made_anew_from_its_state_asks_for_nothing(kept: Edge) -> None:
    shown, orders = kept.shown(), kept.orders()
    kept.run("tar", "--create", "--file=/pebble/state.tar", "--directory=/etc", "letsencrypt")
    own = (kept.folder / "own.pem").read_bytes() + (kept.folder / "own.key").read_bytes()
    kept.run("sh", "-c", f"rm -r /etc/letsencrypt {RECORD}")
    kept.path(LIVE).write_bytes(own)
    assert kept.shown() != shown

    kept.run("tar", "--extract", "--file=/pebble/state.tar", "--directory=/etc")
    done = kept.renew()

    assert done.returncode == 0, done.stderr
    assert (kept.shown(), kept.orders()) == (shown, orders)
    assert json.loads(kept.path(RECORD).read_text())["ok"] is True
