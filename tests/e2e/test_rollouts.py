"""Deploys and rollbacks of one host: nothing is lost, nobody is surprised, nothing is done by accident."""

from __future__ import annotations

import json
import os
import re
import signal
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.conftest import secrets_of, serving
from tests.e2e.fab_runs import Started, release_of
from tests.e2e.ground import RATE, Ground, entries, ground_of, late_ms, new_release, running, slipway
from tests.e2e.signing import signature
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(600)]

# Who asks later than this after the switch is answered by the new release.
LATEST_MS = 100


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves."""
    return ground_of(lab, site)


@pytest.fixture(autouse=True)
def whole_in_the_end(ground: Ground) -> Iterator[None]:
    """Whatever a test does, one release serves when it has ended and nothing is left behind."""
    yield
    ground.is_whole()


def holding(ground: Ground, started: Started, step: str, release: str) -> None:
    """Wait until a command that was started has begun a step on the host."""

    def begun() -> bool:
        assert started.running, str(started.wait())
        return bool(entries(ground.first, step, release, "begin"))

    hosts.until(f"{started.typed} begins {step}", begun, seconds=120)


@pytest.mark.share
def test_a_deploy_and_a_rollback_under_load_lose_nothing(ground: Ground) -> None:
    shop, (bundle, new), before, since = ground.shop(), new_release(ground), ground.live(), time.time()
    with shop.load(RATE) as load:
        ground.fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        deployed = ground.live()
        ground.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")
    seen = load.seen.lost_nothing()
    assert deployed == new
    assert ground.live() == before
    assert {answer.release for answer in seen.answers} == {before, new}
    assert shop.keys() == {answer.key for answer in seen.answers}
    assert shop.orders() == seen.placed
    late = late_ms(ground, seen, since, asked=True)
    assert len(late) == 2
    assert max(late) < LATEST_MS, late
    for kind in ("deploy.end", "rollback.end"):
        details = entries(ground.first, kind)[-1]["details"]
        assert details["result"] == "ok"
        assert details["lost"] == 0
        assert details["max_gap_ms"] < 1000


def test_what_the_plan_says_is_what_the_journal_shows(ground: Ground) -> None:
    (bundle, new), before = new_release(ground), ground.live()
    files = hosts.files(ground.first, "/srv/shop", "/var/lib/slipway/shop/incoming", "/etc")
    plan = ground.fab.run("deploy", f"--bundle={bundle}", "--plan").ended(
        0,
        f"{new} to {ground.fab.name}",
        f"live now {before}",
        "migrations: none",
        f"rollback: possible, to {before}",
    )
    changes = hosts.differences(
        files, hosts.files(ground.first, "/srv/shop", "/var/lib/slipway/shop/incoming", "/etc")
    )
    assert not changes, changes
    found = re.search(r"\(plan ([0-9a-f]{12})\)", plan.output)
    assert found, plan.output
    ground.fab.deploy(bundle, "--ticket=OPS-7").ended(0)
    begun = entries(ground.first, "deploy.begin", new)[-1]["details"]
    assert begun["plan"] == found[1]
    assert begun["ticket"] == "OPS-7"
    assert begun["previous"] == {ground.first.name: before}
    migrated = entries(ground.first, "migrate", new, "end")[-1]["details"]
    assert migrated["from"] == migrated["to"]


def test_a_second_deploy_is_told_who_deploys_and_one_that_waits_comes_next(ground: Ground) -> None:
    (bundle, new), (other, _), before = new_release(ground), new_release(ground), ground.live()
    first = ground.fab.start("deploy", f"--bundle={bundle}", "--bake=12", "--ticket=OPS-8")
    holding(ground, first, "bake", new)
    refused = ground.fab.deploy(other).ended(
        4,
        f"is deploying to {ground.fab.name}: `fab deploy --env={ground.fab.name} --bundle={bundle}",
        f"as process {first.process.pid}@",
        "ticket OPS-8",
        "That process is alive.",
        "Nothing was changed.",
        "Queue with --wait SECONDS.",
        f"fab unlock --env {ground.fab.name}",
    )
    assert "since 20" in refused.output
    queued = ground.fab.start("rollback", "--wait=120")
    first.wait().ended(0)
    queued.wait().ended(0, f"{before} is live")


@pytest.mark.parametrize("how", ["missing", "half-built", "bad"])
def test_a_rollback_to_what_cannot_serve_is_refused_by_name(ground: Ground, how: str) -> None:
    live, host = ground.live(), ground.first
    if how == "bad":
        bundle, release = new_release(ground)
        ground.fab.deploy(bundle).ended(0)
        ground.fab.run("rollback", f"--to={live}").ended(0)
        slipway(host, "mark-bad", release, "--reason='it forgets orders'")
        said = f"{release} is marked bad on {host.name}: it forgets orders"
    else:
        release = "20260101T000000Z-0000000"
        said = f"{release} is {how} on {host.name}, so it cannot be gone back to"
    if how == "half-built":
        hosts.output(host, f"mkdir /srv/shop/releases/{release}")
    ground.fab.run("rollback", f"--to={release}").ended(2, said, "Nothing was changed.")
    assert ground.live() == live
    if how == "half-built":
        hosts.output(host, f"rm --recursive --force /srv/shop/releases/{release}")


HOSTILE = [
    ("deploy", "--env=-oProxyCommand=touch /hostile"),
    ("status", "--env=../../etc"),
    ("status", "--env=lab;id"),
    ("deploy", "--ref=;rm -rf /"),
    ("deploy", "--ref=--upload-pack=id"),
    ("deploy", "--bundle=/etc/passwd"),
    ("deploy", "--ticket=`id`"),
    ("deploy", "--without=-oProxyCommand=id"),
    ("deploy", "--batch=0"),
    ("deploy", "--bake=1e9"),
    ("rollback", "--to=../../etc"),
    ("rollback", "--to=20260101T000000Z-0000000;id"),
    ("recover", "--to=$(id)"),
    ("drain", "--host=a b;id"),
    ("prune", "--keep=-1"),
    ("logs", "--request-id='; id #"),
]


@pytest.mark.share
def test_hostile_words_are_refused_before_any_connection(ground: Ground) -> None:
    # Unbuffered: the daemon itself counts, not a connection that would be one more.
    count = "/Accepted.*for deploy/ {found++} END {print found + 0}"
    logins = f"journalctl --quiet --unit=ssh --output=cat | awk '{count}'"
    before = hosts.output(ground.first, logins)
    for task, word in HOSTILE:
        words = [word] if word.startswith("--env") else [f"--env={ground.fab.name}", word]
        Started([task, *words], {}).wait(60).ended(2)
    assert hosts.output(ground.first, logins) == before


def test_maintenance_answers_for_the_service_without_a_reload(ground: Ground) -> None:
    workers = "ps -o pid=,lstart= -C nginx"
    before = hosts.output(ground.first, workers)
    ground.fab.run("maintenance", "--on", '--message=Back at "nine".').ended(0, "in maintenance")
    said = ground.site.get("/api/v1/products")
    assert said.status == 503, said
    assert said.json()["code"] == "maintenance"
    assert said.json()["message"] == 'Back at "nine".'
    assert "maintenance" in ground.fab.run("status").output
    ground.fab.run("maintenance", "--off").ended(0, "serves again")
    assert ground.site.get("/api/v1/products").status == 200
    assert hosts.output(ground.first, workers) == before


def test_the_only_app_host_is_not_drained(ground: Ground) -> None:
    ground.fab.run("drain", f"--host={ground.first.name}").ended(
        2, "is the only app host", "fab maintenance --on"
    )


def test_status_and_releases_say_what_is_there(ground: Ground) -> None:
    live = ground.live()
    ground.fab.run("status").ended(0, ground.first.name, live, "ready")
    ground.fab.run("releases").ended(0, live, "live")
    told = json.loads(ground.fab.run("status", "--json").ended(0).output)
    assert told["hosts"][ground.first.name]["live"]["release"] == live
    hosts.output(ground.first, f"systemctl disable --quiet shop@{live}")
    ground.fab.run("status").ended(3, f"{live} does not start at boot")
    ground.fab.run("recover").ended(0)
    ground.fab.run("status").ended(0)


def test_logs_finds_a_request_by_its_id(ground: Ground) -> None:
    request_id = f"looked-for-{os.getpid()}-{time.monotonic_ns()}"
    ground.site.get("/api/v1/products", X_Request_ID=request_id)
    hosts.until(
        "the line of the request is there",
        lambda: request_id in ground.fab.run("logs", f"--request-id={request_id}").output,
        seconds=20,
    )
    lines = ground.fab.run("logs", f"--request-id={request_id}").ended(0, "/api/v1/products").output
    assert all(request_id in line for line in lines.splitlines() if line.strip())


def test_audit_names_the_first_line_that_was_altered(ground: Ground) -> None:
    path = "/var/lib/slipway/shop/journal.jsonl"
    ground.fab.run("audit", "--lines=200").ended(0, "deploy.end")
    ground.fab.run("audit", "--verify").ended(0, "the chain is whole")
    count = int(hosts.output(ground.first, f"wc -l < {path}"))
    for line in (count // 2, count):
        hosts.output(ground.first, f'cp -a {path} {path}.kept && sed -i \'{line}s/"who": "/&not-/\' {path}')
        try:
            ground.fab.run("audit", "--verify").ended(3, f"Line {line} of {path}", ground.first.name)
        finally:
            hosts.output(ground.first, f"cat {path}.kept > {path} && rm {path}.kept")
    ground.fab.run("audit", "--verify").ended(0, "the chain is whole")


def test_diagnose_collects_and_tells_no_secret(ground: Ground, lab: Lab, tmp_path: Path) -> None:
    output = tmp_path / "found.tar.gz"
    token = ground.shop(1).token
    ground.fab.run("diagnose", f"--output={output}").ended(0, str(output))
    with tarfile.open(output) as archive:
        files = {
            member.name.rpartition("/")[2]: content.read().decode()
            for member in archive
            if (content := archive.extractfile(member))
        }
    assert output.stat().st_mode & 0o077 == 0
    assert ground.live() in files["status.json"]
    assert "deploy.end" in files["audit.json"]
    for name, secret in {**secrets_of(lab), "token": token}.items():
        found = [file for file, text in files.items() if secret in text]
        assert not found, f"{name} is in {found}"


def test_prune_keeps_what_serves_what_is_warm_and_what_one_would_go_back_to(ground: Ground) -> None:
    for _ in range(3):
        ground.fab.deploy(ground.release()).ended(0)
    status = slipway(ground.first, "status")
    live, warm = ground.live(), status["warm"]["release"]
    ground.fab.run("prune", "--keep=1").ended(0, "removed")
    left = {row["release"] for row in slipway(ground.first, "list")["releases"]}
    assert left == {live, warm}
    ground.fab.run("rollback").ended(0, f"{warm} is live")


def test_a_deploy_that_was_frozen_is_refused_when_it_wakes_after_a_takeover(ground: Ground) -> None:
    (frozen, stale), (bundle, new) = new_release(ground), new_release(ground)
    first = ground.fab.start("deploy", f"--bundle={frozen}", "--bake=4", SLIPWAY_LEASE_SECONDS="4")
    holding(ground, first, "bake", stale)
    first.signal(signal.SIGSTOP)
    ground.fab.deploy(bundle, "--wait=60").ended(0, f"{new} is live")
    first.signal(signal.SIGCONT)
    first.wait().ended(7, "A newer deploy has taken over")
    assert ground.live() == new
    assert entries(ground.first, "switch", phase="end")[-1]["release"] == new


def test_unlock_ends_a_lease_and_stops_the_deploy_that_had_it(ground: Ground) -> None:
    (frozen, stale), before = new_release(ground), ground.live()
    ground.fab.run("unlock").ended(0, "Nobody held the lease.")
    first = ground.fab.start("deploy", f"--bundle={frozen}", "--bake=0")
    holding(ground, first, "stage", stale)
    first.signal(signal.SIGSTOP)
    ground.fab.run("unlock").ended(0, f"({first.process.pid}@", "has ended")
    first.signal(signal.SIGCONT)
    first.wait().ended(7, "A newer deploy has taken over")
    assert ground.live() == before
    ground.fab.run("recover").ended(0, f"serves {before}")


@pytest.mark.parametrize("step", ["stage", "gate", "bake"])
def test_ctrl_c_ends_a_deploy_with_a_sentence_and_nothing_left(ground: Ground, step: str) -> None:
    (bundle, new), before = new_release(ground), ground.live()
    started = ground.fab.start("deploy", f"--bundle={bundle}", "--bake=20")
    holding(ground, started, step, new)
    started.signal(signal.SIGINT)
    time.sleep(0.3)
    # Whoever is impatient.
    started.signal(signal.SIGINT)
    started.wait().ended(3, "Interrupted by Ctrl-C")
    assert ground.live() == before
    assert running(ground.first) <= {before, (slipway(ground.first, "status")["warm"] or {}).get("release")}


def test_a_release_that_refuses_its_public_name_gets_no_traffic(ground: Ground) -> None:
    """A settings change that the service took and nginx did not: ready by its own word, and a 421 for everybody."""
    (bundle, new), before, settings = new_release(ground), ground.live(), "/etc/shop/shop.env"
    edit = "s/^SHOP_ALLOWED_HOSTS=.*/SHOP_ALLOWED_HOSTS=elsewhere.example/"
    hosts.output(ground.first, f"cp -a {settings} {settings}.kept && sed -i '{edit}' {settings}")
    try:
        said = f"{new} is ready, but no customer would be served"
        ground.fab.deploy(bundle).ended(3, said, "421", "No traffic was moved")
    finally:
        hosts.output(ground.first, f"mv {settings}.kept {settings}")
    assert ground.live() == before
    assert ground.site.get("/api/v1/products").status == 200


def test_a_banner_of_the_login_shell_is_not_taken_for_an_answer(ground: Ground) -> None:
    kept, edit = (
        "cp -a /etc/bash.bashrc /root/bashrc.kept",
        "sed -i '1i echo Authorised use only' /etc/bash.bashrc",
    )
    hosts.output(ground.first, f"{kept} && {edit}")
    try:
        ground.fab.run("status").ended(0, ground.live())
        ground.fab.run("unlock").ended(0, "Nobody held the lease.")
        ground.fab.deploy(ground.release()).ended(0, "is live on every app host")
        ground.fab.run("logs").ended(0)
    finally:
        hosts.output(ground.first, "mv /root/bashrc.kept /etc/bash.bashrc")


def test_a_locked_environment_keeps_everybody_out_until_it_is_unlocked(ground: Ground) -> None:
    bundle, before = ground.release(), ground.live()
    ground.fab.run("lock", "--reason=incident 42").ended(0, "Nobody deploys")
    ground.fab.deploy(bundle).ended(4, "incident 42", "fab unlock")
    ground.fab.run("status").ended(0, "incident 42")
    ground.fab.run("unlock").ended(0, "has ended")
    assert ground.live() == before


STATES = ("staged", "started", "gated", "switched", "settled")


@pytest.mark.parametrize("state", STATES)
def test_after_a_reboot_in_each_state_the_right_release_serves(ground: Ground, state: str) -> None:
    (bundle, new), before, host = new_release(ground), ground.live(), ground.first
    ship(host, bundle)
    for step in ("start", "gate", "switch", "settle")[: STATES.index(state)]:
        slipway(host, step, new)
    host.reboot()
    serving(host, ground.site)
    right = new if state in ("switched", "settled") else before
    assert ground.site.get("/health/live").headers["X-Release"] == right
    # What moved but was not settled has both start at boot; recover keeps the one that serves.
    assert running(host) == ({before, right} if state == "switched" else {right})
    ground.fab.run("recover").ended(0, f"serves {right}")


def ship(host: Host, bundle: Path) -> None:
    """Stage a bundle as `fab` does, outside any deploy."""
    import hashlib
    import subprocess

    content = bundle.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    done = subprocess.run(
        host.site.access.root_command(
            host.address,
            f"slipway stage --bundle=- --sha256={digest} --release={release_of(bundle)} {signature(host, digest)}",
        ),
        input=content,
        capture_output=True,
    )
    assert done.returncode == 0, done
