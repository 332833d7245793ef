"""`slipway metrics`: what a host knows of itself, in a form that Prometheus reads."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from slipway.metrics import of_the_service
from slipway.metrics.table import METRICS

from fabfile.database.screen.metrics import HELP
from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host

ROOT = Path(__file__).parents[3]
FOLDER = "/var/lib/prometheus/node-exporter"
LINE = re.compile(
    r'(?P<name>[a-z_]+)\{(?P<labels>app="shop"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*)\} (?P<value>[-+.e0-9]+)'
)


@pytest.fixture(autouse=True)
def asked_before(host: Host) -> None:
    """What apt offered when nothing had changed since; this machine's own is not asked."""
    (host.runtime / "updates.json").write_text('{"at": [0, 0], "waiting": 2}')


def told(slipway: Slipway) -> dict[str, float]:
    """Every sample, by its name and its labels but app."""
    samples = {}
    for line in slipway("metrics").result["metrics"].splitlines():
        if not line.startswith("# "):
            found = LINE.fullmatch(line)
            assert found, line
            labels = found["labels"].removeprefix('app="shop"').lstrip(",")
            samples[found["name"] + (f"{{{labels}}}" if labels else "")] = float(found["value"])
    return samples


@pytest.fixture
def live(host: Host, slipway: Slipway, tmp_path: Path) -> Host:
    bundle = support.good_bundle(tmp_path)
    slipway(*support.staging(bundle), given=bundle)
    slipway("activate", RELEASE)
    return host


def test_a_bare_host_tells_that_nothing_is_there(slipway: Slipway) -> None:
    samples = told(slipway)

    assert samples['slipway_releases{state="live"}'] == 0
    assert samples["slipway_lease_held"] == 0
    assert samples["slipway_reboot_required"] == 0
    assert samples["slipway_security_updates_waiting"] == 2
    assert not any(name.startswith(("slipway_release_info", "slipway_rollout")) for name in samples)


def test_a_live_release_its_state_and_what_its_last_rollout_cost(live: Host, slipway: Slipway) -> None:
    details = {"result": "ok", "lost": 3, "max_gap_ms": 1250}
    slipway("record", "deploy.end", f"--release={RELEASE}", f"--details={json.dumps(details)}")
    samples = told(slipway)

    assert samples[f'slipway_release_info{{release="{RELEASE}",git_sha="3f2a9c1{"0" * 33}"}}'] == 1
    assert samples["slipway_release_live_since_timestamp_seconds"] == live.current.lstat().st_mtime
    assert samples["slipway_release_ready"] == 1
    assert samples['slipway_releases{state="live"}'] == 1
    assert (samples["slipway_rollout_lost"], samples["slipway_rollout_max_gap_seconds"]) == (3, 1.25)
    assert (samples["slipway_rollout_failed"], samples["slipway_rollout_running"]) == (0, 0)


def test_a_rollout_that_began_and_one_that_failed(live: Host, slipway: Slipway) -> None:
    slipway("record", "deploy.begin", f"--release={RELEASE}")
    begun = told(slipway)
    slipway("record", "deploy.end", f"--release={RELEASE}", '--details={"result": "failed"}')
    failed = told(slipway)

    assert begun["slipway_rollout_running"] == 1
    assert "slipway_rollout_failed" not in begun
    assert (failed["slipway_rollout_running"], failed["slipway_rollout_failed"]) == (0, 1)
    assert "slipway_rollout_lost" not in failed


def test_a_bad_release_a_lease_and_maintenance(live: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = support.good_bundle(tmp_path, OTHER)
    slipway(*support.staging(bundle), given=bundle)
    slipway("mark-bad", OTHER, "--reason", "it lost orders")
    who = ("--holder", "alice", "--process", "1@laptop", "--command", "fab deploy", "--nonce", "a" * 32)
    assert slipway("lease", "acquire", *who).code == 0
    slipway("maintenance", "on", "--fence", "1")
    samples = told(slipway)

    assert samples['slipway_releases{state="bad"}'] == 1
    assert samples['slipway_lease_held{state="held",freeze="no"}'] == 1
    assert samples["slipway_lease_idle_seconds"] < 60
    assert samples["slipway_maintenance"] == 1


def test_contracts_that_wait_are_counted() -> None:
    revisions = [
        {"id": "1", "kind": "expand"},
        {"id": "2", "kind": "contract"},
        {"id": "3", "kind": "expand"},
    ]

    assert of_the_service._contracts(revisions, "1") == 1
    assert of_the_service._contracts(revisions, "2") == 0
    assert of_the_service._contracts(revisions, "of another release") == 0


def test_a_certificates_end_a_reboot_that_waits_and_files_that_are_not_in_force(
    host: Host, slipway: Slipway
) -> None:
    folder = host.path("/etc/ssl/slipway")
    folder.mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=host", "-keyout", "/dev/null", "-out", folder / "host.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "public.pem").write_text("no certificate")
    for name in ("acme.pem", "ca.pem"):
        (folder / name).write_bytes((folder / "host.pem").read_bytes())
    host.path("/var/run").mkdir(parents=True, exist_ok=True)
    host.path("/var/run/reboot-required").touch()
    manifests = host.path("/var/lib/slipway/files/shop")
    manifests.mkdir(parents=True)
    written = host.path("/etc/nginx/nginx.conf")
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text("as it was written")
    digest = hashlib.sha256(b"as it was written").hexdigest()
    files = {"/etc/nginx/nginx.conf": digest, "/etc/nginx/gone.conf": digest}
    (manifests / "nginx.json").write_text(json.dumps({"pending": True, "files": files}))
    (manifests / "damaged.json").write_text("[]")
    ahead = {"/etc/nginx/nginx.conf": hashlib.sha256(b"before").hexdigest()}
    (manifests / "nginx_prepare.json").write_text(json.dumps({"pending": False, "files": ahead}))
    samples = told(slipway)

    name = 'slipway_certificate_expiry_timestamp_seconds{path="/etc/ssl/slipway/%s.pem"}'
    days = (samples[name % "host"] - samples["slipway_metrics_timestamp_seconds"]) / 86400
    assert 29 < days <= 30.01
    assert samples[name % "ca"] == samples[name % "host"]
    assert samples[name % "public"] == 0
    due = samples['slipway_certificate_renewal_due_timestamp_seconds{path="/etc/ssl/slipway/acme.pem"}']
    assert samples[name % "acme"] - due == pytest.approx(10 * 86400)
    assert samples["slipway_reboot_required"] == 1
    assert samples['slipway_files_pending{role="nginx"}'] == 1
    assert samples['slipway_files_edited{role="nginx"}'] == 1
    assert samples['slipway_files_edited{role="damaged"}'] == 0
    assert samples['slipway_files_edited{role="nginx_prepare"}'] == 0
    written.write_text("as somebody edited it")
    assert told(slipway)['slipway_files_edited{role="nginx"}'] == 2


def test_the_file_is_replaced_whole_and_readable_by_the_exporter(live: Host, slipway: Slipway) -> None:
    folder = live.path(FOLDER)
    folder.mkdir(parents=True)
    slipway("metrics", "--write")

    assert [path.name for path in folder.iterdir()] == ["slipway-shop.prom"]
    assert f"{(folder / 'slipway-shop.prom').stat().st_mode:o}" == "100644"
    assert (folder / "slipway-shop.prom").read_text().startswith("# HELP slipway_")


def test_of_a_service_that_cannot_be_looked_at_it_is_told_that_it_is_not_ready_and_the_host_is_told_as_ever(
    live: Host, slipway: Slipway
) -> None:
    folder = live.path(FOLDER)
    folder.mkdir(parents=True)
    live.current.unlink()
    live.current.symlink_to("releases/")
    answer = slipway("metrics", "--write")

    text = (folder / "slipway-shop.prom").read_text()
    assert 'slipway_release_ready{app="shop"} 0\n' in text
    assert 'slipway_security_updates_waiting{app="shop"} 2\n' in text
    assert (answer.code, answer.error) == (3, "service-unseen")
    assert "which is not a release" in answer.message
    assert f"{folder}/slipway-shop.prom says that the live release is not ready" in answer.message


def test_where_it_cannot_be_written_what_stood_there_stands_and_that_is_said(slipway: Slipway) -> None:
    answer = slipway("metrics", "--write")

    assert answer.error == "metrics-unwritten"
    assert "what it said before stands" in answer.message


def test_the_end_of_a_rollout_is_told_at_once_where_there_is_monitoring(live: Host, slipway: Slipway) -> None:
    unit = live.path("/etc/systemd/system/slipway-metrics-shop.service")
    state = live.root.parent / "fake/units/slipway-metrics-shop.service.json"
    slipway("record", "deploy.end", f"--release={RELEASE}")
    assert not state.exists()
    unit.touch()
    slipway("record", "deploy.begin", f"--release={RELEASE}")
    assert not state.exists()
    slipway("record", "deploy.end", f"--release={RELEASE}")

    assert state.exists()


def test_the_page_has_every_metric_as_the_code_has_it() -> None:
    page = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(slipway_[a-z_]+)` \| (.+) \|$", page, re.MULTILINE))
    assert rows == {**METRICS, **HELP}


def test_the_last_look_of_verify_or_doctor_is_told_until_the_next_boot(host: Host, slipway: Slipway) -> None:
    assert not any(name.startswith("slipway_verify") for name in told(slipway))

    (host.runtime / "verify.json").write_text('{"time": 1795662000.5, "complaints": 3}')

    samples = told(slipway)
    assert samples["slipway_verify_timestamp_seconds"] == 1795662000.5
    assert samples["slipway_verify_complaints"] == 3
