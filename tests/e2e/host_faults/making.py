"""How faults are made that are more than one command, and how they are put right."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e import disks, hosts
from tests.e2e.ansible_runs import ROOT
from tests.e2e.ground import new_release
from tests.e2e.host_faults.fault import Do, Scene
from tests.lab.commands import run

POSTMASTER = "$(head -1 /var/lib/postgresql/*/main/postmaster.pid)"
# One in the middle of something, if there is one.
BACKEND = (
    "$(runuser -u postgres -- psql -qAtc \"SELECT pid FROM pg_stat_activity WHERE usename IN ('shop', 'shop_b') "
    "AND backend_type = 'client backend' ORDER BY state = 'idle' LIMIT 1\" shop)"
)
INSTANCE = "$(basename $(readlink /srv/shop/current))"
SERVICE = f"$(systemctl show --property=MainPID --value shop@{INSTANCE})"
WORKER = f"$(pgrep --parent {SERVICE} | tail -1)"
NGINX = "$(cat /run/nginx.pid)"
NGINX_WORKER = f"$(pgrep --parent {NGINX} | head -1)"
NFT = "slipway_test_fault"
SESSIONS = "slipway-test-sessions"
SMALL = 32
# A program that says more than a queue has room for.
LITTLE_ROOM = (
    "cp -p /etc/rsyslog.d/30-forward.conf /root/; "
    """sed -i 's/maxDiskSpace="[^"]*"/maxDiskSpace="100k"/' /etc/rsyslog.d/30-forward.conf; """
    "systemctl restart rsyslog; yes 'This says a lot.' | head -n 5000 | logger --tag=talker"
)
ROOM_AGAIN = "cp -p /root/30-forward.conf /etc/rsyslog.d/; systemctl restart rsyslog"
# The collector's pair becomes one that no authority of ours has signed, under the right name.
KEEP_PAIR = "cd /etc/ssl/slipway; cp -a host.pem host.key /root/"
OTHER_PAIR = (
    f"{KEEP_PAIR}; openssl req -x509 -newkey rsa:2048 -nodes -days 1 "
    "-subj /CN=$(hostname) -keyout /root/other.key -out /root/other.pem 2>/dev/null; "
    "cat /root/other.pem >host.pem; cat /root/other.key >host.key; systemctl restart rsyslog"
)
OWN_PAIR = "cd /etc/ssl/slipway; cat /root/host.pem >host.pem; cat /root/host.key >host.key; systemctl restart rsyslog"


def again(command: str, times: int, pause: float, group: str = "app") -> Do:
    """A command of root's several times, with a pause of seconds in between."""

    def made(scene: Scene) -> None:
        for _ in range(times):
            hosts.output(scene.host(group), command)
            time.sleep(pause)

    return made


def full(*paths: str, reopen: str = "true", group: str = "app") -> tuple[Do, Do]:
    """Folders are on small disks of their own, which are full; and it is put right.

    reopen: has those who write there open their files anew.
    """

    def made(scene: Scene) -> None:
        host = scene.host(group)
        for path in paths:
            hosts.output(host, f"rm -rf /root/kept && cp -a {path} /root/kept")
            disks.attach(host, path, SMALL)
            hosts.output(
                host,
                f"cp -a /root/kept/. {path}/; chown --reference=/root/kept {path}; chmod --reference=/root/kept {path}",
            )
        hosts.output(host, reopen)
        for path in paths:
            # It ends when nothing more fits.
            assert "No space left" in hosts.refused(host, f"cat /dev/zero >{path}/filling")

    def healed(scene: Scene) -> None:
        host = scene.host(group)
        for path in paths:
            disks.detach(host, path)
        hosts.output(host, reopen)

    return made, healed


def in_turn(*made: Do) -> Do:
    """One after the other."""

    def all_of_them(scene: Scene) -> None:
        for each in made:
            each(scene)

    return all_of_them


def run_without_room(scene: Scene) -> None:
    """site.yml ends well, or says what there is no room for."""
    done = scene.playbooks.run("site.yml", **scene.variables)
    scene.took["unsaid"] = 0 if done.status == 0 or "No space left on device" in done.said else 1


def controller_full(scene: Scene) -> None:
    """A run whose controller has no room for a file."""
    folder = ROOT / ".lab/full"
    folder.mkdir(exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], purpose="make a full disk")
    os.environ["ANSIBLE_LOCAL_TEMP"] = str(folder)
    try:
        (folder / "filling").write_bytes(bytes(64 << 10))
        done = scene.playbooks.run("site.yml", **scene.variables)
    finally:
        del os.environ["ANSIBLE_LOCAL_TEMP"]
        run(["umount", folder], purpose="give its room back")
    scene.took["unsaid"] = 0 if done.status and "No space left on device" in done.said else 1


def from_database(scene: Scene) -> None:
    """Nothing goes between app hosts and the database any more, and nobody is told so."""
    apps = ", ".join(host.address for host in scene.ground.app_hosts)
    table = f"""table inet {NFT} {{
        chain in {{ type filter hook input priority -300; ip saddr {{ {apps} }} tcp dport 5432 drop; }}
        chain out {{ type filter hook output priority -300; ip daddr {{ {apps} }} tcp sport 5432 drop; }}
    }}"""
    nft(scene, table)


def to_database(scene: Scene) -> None:
    nft(scene, f"delete table inet {NFT}")


def nft(scene: Scene, said: str) -> None:
    """In the network of the database's host, which has no nft of its own."""
    first = hosts.first_process(scene.host("db"))
    run(["nsenter", "--target", str(first.pid), "--net", "nft", "--file", "-"], purpose="filter", stdin=said)


def connections_taken(scene: Scene) -> None:
    """Sessions of the service's login take every connection, and the service has to open its own anew."""
    host = scene.host("db")
    script = 'for each in $(seq 120); do psql --no-psqlrc -c "SELECT pg_sleep(600)" shop & done; wait'
    hosts.output(host, f"systemd-run --quiet --collect --unit={SESSIONS} --uid=shop sh -c '{script}'")
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'shop'"

    def taken() -> bool:
        refusal = host.run("runuser -u shop -- psql --no-psqlrc -c 'SELECT 1' shop").stderr
        return "too many" in refusal or "remaining connection slots" in refusal

    hosts.until("every connection is taken", taken, seconds=60)
    hosts.sql(host, f"{ended} AND application_name <> 'psql'")


def connections_free(scene: Scene) -> None:
    """They end, also those that sleep and do not notice that nobody listens."""
    host = scene.host("db")
    hosts.output(host, f"systemctl stop {SESSIONS}")
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'shop'"
    hosts.sql(host, f"{ended} AND application_name = 'psql'")


def crashed(*groups: str) -> Do:
    """Hosts lose all that runs there, at once; they boot one after the other."""

    def made(scene: Scene) -> None:
        every = [scene.ground.lab.host(name) for group in groups for name in scene.ground.lab.groups[group]]
        for host in every:
            host.kill()
        for host in random.sample(every, len(every)):
            host.up()

    return made


def flapping(scene: Scene) -> None:
    """The collector is away for seven seconds, and there for seven."""
    again(
        "systemctl stop rsyslog.service syslog.socket; sleep 7; systemctl start rsyslog.service", 4, 7, "logs"
    )(scene)


def slow(scene: Scene) -> None:
    """What the database's host says to app hosts comes 300 ms later, or not at all, one packet of twenty."""
    ends = [scene.host("db"), *scene.ground.app_hosts]
    wire = [sys.executable, "-m", "tests.e2e.host_faults.slow_wire", "--delay=0.3", "--loss=0.05"]
    wire += [f"{hosts.first_process(end).pid}={end.address}" for end in ends]
    scene.started.append(subprocess.Popen(wire, cwd=ROOT))
    routes = [partial(hosts.output, end, "ip route") for end in ends]
    hosts.until("all are on it", lambda: all("dev slow" in said() for said in routes), seconds=10)


def deploy(scene: Scene) -> None:
    """Somebody deploys."""
    bundle, _ = new_release(scene.ground)
    done = scene.ground.fab.deploy(bundle, bake=3)
    print(done)
    scene.took["undone"] = 0 if done.status == 0 else 1


def collector_expired(scene: Scene) -> None:
    """The collector's certificate is of the right authority and name, and expired yesterday."""
    host = scene.host("logs")
    folder = scene.ground.lab.site.state / "generated" / scene.ground.lab.site.inventory.name / "pki"
    was = x509.load_pem_x509_certificate((folder / f"{host.name}.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    end = datetime.now(UTC) - timedelta(days=1)
    made = x509.CertificateBuilder(was.issuer, was.subject, was.public_key(), x509.random_serial_number())
    made = made.not_valid_before(end - timedelta(days=9)).not_valid_after(end)
    for each in was.extensions:
        made = made.add_extension(each.value, each.critical)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    hosts.output(host, f"{KEEP_PAIR}; cat >host.pem; systemctl restart rsyslog", stdin=pem)
