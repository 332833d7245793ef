"""What a cloud's Ubuntu does by itself, and Slipway lives with: its first boot, every boot, its logs, its clock."""

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import serving
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.platforms import UBUNTU

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

SEED = "/var/lib/cloud/seed/nocloud/meta-data"
HOSTS, SOURCES = "/etc/hosts", "/etc/apt/sources.list"
SYSLOG = "tail -n 50 /var/log/syslog"


@pytest.fixture(scope="module")
def ubuntu(spoilt: Host) -> Host:
    """The serving host, when it is an Ubuntu that a cloud made."""
    if spoilt.site.platform is not UBUNTU:
        pytest.skip(f"the host runs {spoilt.site.platform.about}: there is no cloud-init on it")
    return spoilt


def test_nothing_is_wrong_with_a_host_that_has_snaps(ubuntu: Host, playbooks: Playbooks) -> None:
    assert "100%" in hosts.output(ubuntu, "df --output=pcent /snap/core20/1")
    playbooks.run("playbooks/verify.yml").succeeded().says(f"{ubuntu.name}: nothing is wrong.")


def test_a_boot_leaves_names_and_sources_as_they_are_stated(ubuntu: Host, site: Site) -> None:
    before = hosts.files(ubuntu, HOSTS, SOURCES)
    ubuntu.reboot()
    hosts.output(ubuntu, "cloud-init status --wait")
    assert not hosts.differences(before, hosts.files(ubuntu, HOSTS, SOURCES))
    serving(ubuntu, site)


def test_so_does_the_first_boot_of_a_clone(ubuntu: Host) -> None:
    before = hosts.files(ubuntu, HOSTS, SOURCES)
    hosts.output(ubuntu, f"sed --in-place s/i-{ubuntu.name}/i-clone/ {SEED}")
    ubuntu.reboot()
    hosts.output(ubuntu, "cloud-init status --wait")
    assert hosts.output(ubuntu, "cloud-init query instance_id") == "i-clone"
    assert not hosts.differences(before, hosts.files(ubuntu, HOSTS, SOURCES))


def test_a_run_waits_for_cloud_init_and_apts_upgrades_and_says_so(ubuntu: Host, playbooks: Playbooks) -> None:
    slow = "/run/systemd/system/apt-daily-upgrade.service.d"
    hosts.output(
        ubuntu,
        f"mkdir -p {slow} && printf '[Service]\\nExecStart=\\nExecStart=sleep 20\\n' > {slow}/slow.conf && "
        "systemctl daemon-reload && systemctl start --no-block apt-daily-upgrade.service",
    )
    run = playbooks.run("playbooks/preflight.yml").succeeded()
    run.says(
        f"{ubuntu.name} is still being made (apt-daily-upgrade.service): this run waits for it, 20 minutes at most."
    )
    assert (
        hosts.output(ubuntu, "systemctl show --value --property=ActiveState apt-daily-upgrade.service")
        == "inactive"
    )


def test_a_host_that_is_made_for_too_long_is_refused(ubuntu: Host, playbooks: Playbooks) -> None:
    hosts.output(ubuntu, "systemctl start --no-block apt-daily-upgrade.service")
    run = playbooks.run("playbooks/preflight.yml", slipway_first_boot_minutes=0).refused()
    run.says("is still being made after 0 minutes", "Nothing was changed.")
    hosts.output(ubuntu, "systemctl stop apt-daily-upgrade.service")


def test_lines_are_filed_by_the_user_whose_files_they_are(ubuntu: Host) -> None:
    hosts.output(ubuntu, "logger --tag proof filed-here")
    hosts.until(
        "the line is filed",
        lambda: "filed-here" in hosts.output(ubuntu, SYSLOG),
        seconds=20,
    )
    assert hosts.output(ubuntu, "ps -o user= -C rsyslogd") == "syslog"
    assert (
        hosts.output(
            ubuntu, "stat --format=%U /var/log/syslog /var/log/auth.log /var/log/shop/shop.log | sort -u"
        )
        == "syslog"
    )


def test_lines_from_before_slipway_are_not_filed_again(ubuntu: Host) -> None:
    # As when rsyslog reads the journal for the first time: it has not yet noted how far it is.
    hosts.output(ubuntu, "systemctl stop rsyslog syslog.socket && rm /var/spool/rsyslog/imjournal.state")
    hosts.output(ubuntu, "logger --tag proof from-before && journalctl --sync && systemctl start rsyslog")
    hosts.output(ubuntu, "sleep 1; logger --tag proof from-now")
    hosts.until("the later line is filed", lambda: "from-now" in hosts.output(ubuntu, SYSLOG), seconds=20)
    assert "from-before" not in hosts.output(ubuntu, SYSLOG)


def test_the_clock_is_kept_by_the_daemon_that_is_there(ubuntu: Host, playbooks: Playbooks) -> None:
    playbooks.run("playbooks/base.yml", "--tags", "base", base_time_servers=["192.0.2.123"]).succeeded()
    assert "192.0.2.123" in hosts.output(ubuntu, "chronyc -n sources")
    assert ubuntu.run("test -e /etc/systemd/timesyncd.conf.d/slipway.conf").returncode != 0
