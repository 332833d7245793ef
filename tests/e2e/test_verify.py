"""`ansible-playbook playbooks/verify.yml`: an operator is told all that is wrong, and nothing is changed."""

import subprocess

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import CONFIGURATION
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

AS_SUPERUSER = "runuser --user=postgres -- psql --quiet --no-psqlrc --dbname=shop --command"
ENDS_SOON = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 20 -subj /CN=soon "
    "-keyout /dev/null -out /etc/ssl/slipway/host.pem 2>/dev/null"
)
FAULTS = {
    "systemctl stop rsyslog syslog.socket": "rsyslog is inactive: systemctl start rsyslog",
    "systemctl disable --quiet nginx": "nginx does not start at boot: run site.yml",
    "systemd-run --quiet --unit=slipway-broken --service-type=oneshot false || test $? = 1": (
        "slipway-broken.service has failed"
    ),
    ENDS_SOON: "/etc/ssl/slipway/host.pem ends within 21 days: renew it and run site.yml",
    f"{AS_SUPERUSER} \"ALTER SYSTEM SET work_mem = '64kB'\" --command 'SELECT pg_reload_conf()'": (
        "PostgreSQL: work_mem is 64kB because of /var/lib/postgresql/14/main/postgresql.auto.conf"
    ),
    f"{AS_SUPERUSER} 'ALTER SYSTEM SET max_connections = 60' --command 'SELECT pg_reload_conf()'": (
        "PostgreSQL: max_connections waits for a restart"
    ),
    "systemctl stop 'shop@*'": "is not ready (",
    "true": "the edge answers HTTP/1.1 502 Bad Gateway for",
}


def test_it_finds_nothing_wrong_with_a_serving_host(host: Host, playbooks: Playbooks) -> None:
    before = hosts.files(host, *CONFIGURATION)
    run = playbooks.run("playbooks/verify.yml").succeeded()
    run.says(f"{host.name}: nothing is wrong.")
    assert run.changed == 0
    changes = hosts.differences(before, hosts.files(host, *CONFIGURATION))
    assert not changes, changes


def test_in_a_fresh_shell_it_is_typed_as_the_readme_has_it(host: Host, playbooks: Playbooks) -> None:
    typed = (
        "source .venv/bin/activate && fab status && ansible-playbook -i inventory/lab playbooks/verify.yml"
    )
    done = subprocess.run(
        ["/bin/bash", "-c", typed.replace("inventory/lab", str(playbooks.inventory))],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/root"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{host.name}: nothing is wrong." in done.stdout


def test_what_is_no_fault_of_slipways_is_said_and_no_more(spoilt: Host, playbooks: Playbooks) -> None:
    hosts.output(spoilt, "systemd-run --quiet --unit=foreign --service-type=oneshot false || test $? = 1")
    hosts.output(
        spoilt, "echo linux-image-5.15.0-200 > /run/reboot-required.pkgs; touch /run/reboot-required"
    )
    # As a snap's image is: full by nature.
    hosts.output(spoilt, "mkdir -p /snap/core20/1 && mount -t tmpfs -o size=64k core20 /snap/core20/1")
    hosts.output(spoilt, "head -c 1M /dev/zero > /snap/core20/1/image 2>/dev/null || test $? = 1")
    run = playbooks.run("playbooks/verify.yml").succeeded()
    run.says(
        f"{spoilt.name}: nothing is wrong.",
        "foreign.service has failed",
        "the host waits for a reboot for linux-image-5.15.0-200",
    )


def test_it_names_everything_that_is_wrong_at_once(spoilt: Host, playbooks: Playbooks) -> None:
    for fault in FAULTS:
        hosts.output(spoilt, fault)
    run = playbooks.run("playbooks/verify.yml").refused()
    run.says(*FAULTS.values())
    assert run.changed == 0


def test_it_says_so_when_the_database_is_down(spoilt: Host, playbooks: Playbooks) -> None:
    hosts.output(spoilt, "systemctl stop postgresql@14-main")
    run = playbooks.run("playbooks/verify.yml").refused()
    run.says(
        "postgresql@14-main is inactive: systemctl start postgresql@14-main", "PostgreSQL does not answer ("
    )


def test_it_says_so_when_the_certificate_is_not_the_authoritys(spoilt: Host, playbooks: Playbooks) -> None:
    hosts.output(
        spoilt,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=other "
        f"-addext 'subjectAltName=IP:{spoilt.address}' -keyout /tmp/key -out /tmp/pem 2>/dev/null "
        "&& cat /tmp/pem /tmp/key >/etc/ssl/slipway/public.pem && rm /tmp/pem /tmp/key",
    )
    run = playbooks.run("playbooks/verify.yml").refused()
    run.says(
        "the edge does not answer for",
        "over TLS (",
        "certificate verify failed",
        "docs/runbooks/host-does-not-serve.md",
    )
