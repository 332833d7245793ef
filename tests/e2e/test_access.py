"""Who may do what on the host, and what listens there."""

import json
import subprocess

import pytest

from tests.e2e import hosts
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


def as_deploy(host: Host, command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command over SSH as the user who deploys, with an engineer's key."""
    return subprocess.run(
        [*host.site.access.command(host.address, user="deploy"), command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_nothing_listens_but_ssh_the_web_and_for_the_host_itself_its_metrics(host: Host) -> None:
    public = {(address, port) for address in ("0.0.0.0", "[::]") for port in ("22", "80", "443")}
    assert hosts.listening(host, "tcp") == public | {("127.0.0.1", "9145")}
    assert hosts.listening(host, "udp") == set()


def test_an_engineers_key_opens_the_deploy_account(host: Host) -> None:
    done = as_deploy(host, "sudo -n /usr/local/sbin/slipway status --json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)["result"]
    assert status["live"]["release"] == hosts.live_release(host)
    assert status["live"]["socket"]["ready"], status


def test_the_journal_names_whose_key_it_was(host: Host) -> None:
    def last(kind: str) -> str:
        said = json.loads(hosts.output(host, f"slipway journal --step {kind} --json"))
        return str(said["result"]["entries"][-1]["who"])

    done = as_deploy(host, "SUDO_USER=root sudo -n /usr/local/sbin/slipway record key.used")
    assert done.returncode == 0, done.stderr
    assert last("key.used") == "slipway-lab-controller as deploy"

    # Who leaves the session leaves its name behind, and takes nobody else's.
    left = as_deploy(
        host,
        "setsid --fork sh -c 'sleep 1; exec sudo -n /usr/local/sbin/slipway record key.left' >&- 2>&- <&-",
    )
    assert left.returncode == 0, left.stderr
    hosts.until(
        "key.left is on record",
        lambda: "key.left" in hosts.output(host, "slipway journal --lines 5 --json"),
        seconds=20,
    )
    assert last("key.left") == "deploy"


def test_the_deploy_account_may_run_slipway_three_looks_backups_and_nothing_else(
    host: Host,
) -> None:
    allowed = as_deploy(host, "sudo -n -l").stdout.partition("may run the following commands")[2]
    # "" is no argument at all; sudo 1.9.9 shows its quotes as \"\".
    assert [line.strip().replace("\\", "") for line in allowed.splitlines()[1:]] == [
        "(root) NOPASSWD: /usr/local/sbin/slipway",
        "(root) NOPASSWD: /usr/local/lib/slipway/look-at-host shop",
        '(postgres) NOPASSWD: /usr/local/lib/slipway/shop/look-at-postgresql ""',
        '(postgres) NOPASSWD: /usr/local/lib/slipway/shop/look-at-postgresql-files ""',
        "(slipway_backup) NOPASSWD: /usr/local/lib/slipway/database-backup",
    ]
    for command in (
        "id",
        "/bin/sh -c id",
        "-u shop id",
        "-u postgres psql",
        "-u postgres /usr/local/lib/slipway/shop/look-at-postgresql --help",
        "-u postgres /usr/local/lib/slipway/shop/look-at-postgresql-files --help",
        "/usr/local/sbin/slipwayx",
        "/usr/local/lib/slipway/look-at-host",
        "/usr/local/lib/slipway/look-at-host other",
        "/usr/local/lib/slipway/look-at-host shop --settings=/tmp/x",
        "systemctl restart nginx",
    ):
        done = as_deploy(host, f"sudo -n {command}")
        assert done.returncode != 0, f"sudo {command} worked: {done.stdout}"
        assert "password is required" in done.stderr, done.stderr


def test_the_deploy_account_reads_the_services_journal(host: Host) -> None:
    done = as_deploy(host, f"journalctl --quiet --lines=1 --unit='{hosts.live_unit(host)}'")
    assert done.returncode == 0, done.stderr
    assert done.stdout, "no line of the service's journal is shown"


@pytest.mark.parametrize(
    "path", ["/etc/shop/credentials/secret_key", "/etc/ssl/slipway/host.key", "/etc/shop/shop.env", "/root"]
)
def test_the_deploy_account_reads_no_secret(host: Host, path: str) -> None:
    done = as_deploy(host, f"cat {path}")
    assert done.returncode != 0, f"{path} can be read"
    assert "Permission denied" in done.stderr


def test_no_password_opens_an_account(host: Host) -> None:
    hashes = hosts.output(host, "cut --delimiter=: --fields=1,2 /etc/shadow").splitlines()
    with_password = [line for line in hashes if line.split(":")[1] not in ("*", "!", "!*", "!!")]
    assert not with_password
