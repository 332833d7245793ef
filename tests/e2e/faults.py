"""For each alert something that goes wrong on a host, how it is put right, and what somebody is told meanwhile."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import hosts
from tests.e2e.broken_releases import migrating
from tests.e2e.fab_runs import release_of
from tests.e2e.freezing import Moment, Watch
from tests.e2e.watched import Watched

Done = Callable[[Watched], Any]
BY_ITSELF = "systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1"
CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=old -keyout /dev/null"
# Of 90 days 25 are left.
LATE = r"""cd $(mktemp -d); touch index; echo 01 >serial
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n' >ca
printf '[p]\ncommonName=supplied\n' >>ca
openssl req -new -newkey rsa:2048 -nodes -subj /CN=late -keyout key -out request
openssl ca -batch -selfsign -notext -config ca -keyfile key -in request -startdate $(date +%Y%m%d -d -65days)000000Z \
  -enddate $(date +%Y%m%d -d +25days)000000Z -out /etc/ssl/slipway/acme.pem"""
JOURNAL = "/var/lib/slipway/shop/journal.jsonl"
SQL = "runuser -u postgres -- psql -qc"
WEB = "/etc/prometheus/slipway-web.yml"
REVISION = "SELECT version_num FROM shop.alembic_version"
# A package of the release's first day, of which the security archive has a newer one.
OLD_PACKAGE, OLD_VERSION = "wget", "1.21.2-2ubuntu1"
MEMORY = "/run/systemd/system/prometheus-node-exporter.service.d"
# Where seen-2's lines for the logs host wait, and room for a few of them.
FORWARD = "/etc/rsyslog.d/30-forward.conf"
LITTLE = '/"host_forward" queue.maxDiskSpace/s/maxDiskSpace="[^"]*"/maxDiskSpace="100k"/'
SEEN, OTHER, WATCH = "seen-1", "seen-2", "watch-1"


@dataclass(frozen=True)
class Fault:
    """said: what somebody would call it. told: the sentence, as a regular expression.

    standing: whether it goes on until it is put right.
    """

    alert: str
    said: str
    made: Done
    healed: Done
    told: str
    standing: bool = True


def on(host: str, command: str) -> Done:
    """A command of root's on one of the hosts."""
    return lambda watched: hosts.output(watched.lab.host(host), command)


def timer(host: str, name: str, verb: str) -> Done:
    return on(host, f"systemctl {verb} slipway-{name}-shop.timer")


def less_memory(watched: Watched) -> None:
    """What the kernel says of it: the memory itself is every host's of the machine."""
    conf = "[Service]\\nBindReadOnlyPaths=/run/meminfo:/proc/meminfo\\n"
    hosts.output(
        watched.watch,
        "sed 's/^MemAvailable:.*/MemAvailable: 100000 kB/' /proc/meminfo >/run/meminfo;"
        f"mkdir -p {MEMORY} && printf '{conf}' >{MEMORY}/memory.conf && systemctl daemon-reload && "
        "systemctl restart prometheus-node-exporter",
    )


def looked_at(watched: Watched) -> int:
    """How much is wrong with the host that has the edge."""
    watched.fab.run("doctor", "--json")
    complaints: int = json.loads(hosts.output(watched.seen, "cat /run/slipway/shop/verify.json"))[
        "complaints"
    ]
    return complaints


def unit_off(watched: Watched) -> None:
    hosts.output(watched.seen, "systemctl disable --quiet nginx")
    looked_at(watched)


def unit_on(watched: Watched) -> None:
    hosts.output(watched.seen, "systemctl enable --quiet nginx")
    # Other faults of the round are found as well, until they are put right.
    hosts.until("nothing is wrong", lambda: looked_at(watched) == 0, seconds=120)


def half_run(watched: Watched) -> None:
    """A run that dies between writing node-exporter's files and restarting it."""
    hosts.output(watched.other, "systemctl mask --runtime --quiet prometheus-node-exporter")
    given = {**watched.variables, "exporters_seconds": 20}
    watched.playbooks.run("playbooks/monitoring.yml", "--limit=seen-2", "--tags=exporters", **given).refused()


def whole_run(watched: Watched) -> None:
    hosts.output(watched.other, "systemctl unmask --runtime --quiet prometheus-node-exporter")
    words = ("--limit=seen-2", "--tags=exporters")
    watched.playbooks.run("playbooks/monitoring.yml", *words, **watched.variables).succeeded()


def killed_deploy(watched: Watched) -> None:
    """Who deploys and what they run on a host are killed while the release is put together there."""
    bundle = watched.bundle()
    watch = Watch(watched.seen, Moment("stage.publish", "begin"), release_of(bundle))
    started = watched.fab.start("deploy", f"--bundle={bundle}", "--bake=0", SLIPWAY_LEASE_SECONDS="15")
    frozen = watch.frozen()
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    frozen.send("KILL", frozen.helpers)
    frozen.thaw()


def recovered(watched: Watched) -> None:
    watched.fab.run("recover").ended(0)
    # What was half built is swept by the next one.
    watched.fab.deploy(watched.bundle()).ended(0, "lost=0")


def lossy_deploy(watched: Watched) -> None:
    """The edge is away for a moment while a deploy watches what it has switched to."""
    bundle = watched.bundle()
    new = release_of(bundle)
    started = watched.fab.start("deploy", f"--bundle={bundle}", "--bake=12")
    try:
        hosts.until("it has switched", lambda: hosts.live_release(watched.seen) == new, seconds=120)
        time.sleep(2)
        hosts.output(watched.seen, "systemctl stop nginx; sleep 2; systemctl start nginx")
    finally:
        started.wait()


def again_without_loss(watched: Watched) -> None:
    watched.fab.deploy(watched.bundle()).ended(0, "lost=0")


def another_release(watched: Watched) -> None:
    """Somebody points one host's link at an older release, which does not run any more."""
    command = (
        "cd /srv/shop/releases && live=$(basename $(readlink ../current)) && "
        "old=$(ls -d 20*Z-* | grep -v $live | grep -v '[.]' | tail -1) && test -n \"$old\" && "
        "systemctl stop shop@$old.service && "
        "readlink ../current >/run/was && "
        "ln -sfn $(readlink ../current | sed s,$live,$old,) ../current.hand && mv -T ../current.hand ../current"
    )
    hosts.output(watched.other, command)


def same_release(watched: Watched) -> None:
    hosts.output(
        watched.other, "cd /srv/shop && ln -sfn $(cat /run/was) current.hand && mv -T current.hand current"
    )


def locks(watched: Watched) -> None:
    """Somebody takes the products for themselves, again and again."""
    script = "BEGIN; LOCK TABLE shop.products IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.2); COMMIT"
    loop = f'while sleep 0.2; do psql --dbname=shop --command="{script}"; done'
    hosts.output(watched.seen, f"systemd-run --quiet --unit=locks --uid=postgres sh -c '{loop}'")


def waiting_contract(watched: Watched) -> None:
    add = ("aaaaaaaaaaa1", "expand", "ALTER TABLE shop.products ADD COLUMN note text")
    drop = ("aaaaaaaaaaa9", "contract", "ALTER TABLE shop.products DROP COLUMN note")
    hosts.output(watched.seen, f"echo {hosts.sql(watched.seen, REVISION)} >/run/revision")
    with tempfile.TemporaryDirectory() as scratch:
        watched.fab.deploy(migrating(Path(scratch), (add, drop))).ended(0, "lost=0")


def gone_back(watched: Watched) -> None:
    watched.fab.run("rollback", "--yes").ended(0)
    # Other tests deploy what knows nothing of these revisions.
    hosts.sql(watched.seen, "ALTER TABLE shop.products DROP COLUMN note")
    before = hosts.output(watched.seen, "cat /run/revision")
    hosts.sql(watched.seen, f"UPDATE shop.alembic_version SET version_num = '{before}'")


def nobody_is_told(watched: Watched) -> None:
    """Alertmanager is away for a moment: who was not told then is told of it afterwards."""
    command = "systemctl stop prometheus-alertmanager; sleep 20; systemctl start prometheus-alertmanager"
    hosts.output(watched.watch, command)


def receiver_moved(watched: Watched) -> None:
    watched.receiver.answers = 404
    fires = 'ALERTS{alertname="ReceiverUnreached",alertstate="firing"}'
    try:
        hosts.until("it fires", lambda: watched.asked(fires), seconds=120)
    finally:
        watched.receiver.answers = 200


def nothing(_: Watched) -> None:
    """It was over when it was told."""


def host_back(watched: Watched) -> None:
    watched.lab.up(["seen-2"])


def old_package(watched: Watched) -> None:
    install = "DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends --allow-downgrades"
    hosts.output(watched.seen, f"apt-get update --quiet; {install} {OLD_PACKAGE}={OLD_VERSION}")


def many_lines(watched: Watched) -> None:
    """The queue of a host has little room, and a program says more than that while the logs host is away."""
    hosts.output(watched.seen, "systemctl stop syslog.socket rsyslog.service")
    hosts.output(
        watched.other,
        f"cp -p {FORWARD} /run/forward.conf && sed -i '{LITTLE}' {FORWARD} && grep -q 100k {FORWARD} && "
        # It counts from its start, and nothing has to be counted before something is.
        "systemctl restart rsyslog && sleep 60 && yes 'This says a lot.' | head -n 2000 | logger --tag=talker",
    )


def few_lines(watched: Watched) -> None:
    hosts.output(watched.seen, "systemctl start rsyslog.service")
    hosts.output(watched.other, f"cp -p /run/forward.conf {FORWARD} && systemctl restart rsyslog")
