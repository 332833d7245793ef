"""What a cloud's Ubuntu does by itself, and Slipway lives with: its first boot, every boot, its logs, its clock."""

from collections.abc import Iterator

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
# The same version again: its files are others, as after an update; needrestart, which restarts by itself here, looks.
UPDATE = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet --yes install --reinstall libssl3"
OURS = "/etc/needrestart/conf.d/slipway.conf"


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


# An upgrade that goes on until somebody says that it is over.
OVER = "/run/upgrade-is-over"
UPGRADING = f"""set -e
folder=/run/systemd/system/apt-daily-upgrade.service.d
mkdir -p $folder
printf '[Service]\nExecStart=\nExecStart=sh -c "until [ -e {OVER} ]; do sleep 0.2; done"\n' > $folder/slow.conf
rm -f {OVER}
systemctl daemon-reload
systemctl start --no-block apt-daily-upgrade.service"""
UPGRADES_STATE = "systemctl show --value --property=ActiveState apt-daily-upgrade.service"


@pytest.fixture
def upgrading(ubuntu: Host) -> Iterator[Host]:
    """Apt's own upgrade is under way."""
    hosts.output(ubuntu, UPGRADING)
    yield ubuntu
    hosts.output(ubuntu, f"touch {OVER}")
    hosts.until("it is over", lambda: hosts.output(ubuntu, UPGRADES_STATE) == "inactive", seconds=20)


def test_a_run_waits_for_cloud_init_and_apts_upgrades_and_says_so(
    upgrading: Host, playbooks: Playbooks
) -> None:
    run = playbooks.start("playbooks/preflight.yml")
    waits = f"{upgrading.name} is still being made (apt-daily-upgrade.service)"
    hosts.until("it says what it waits for", lambda: waits in run.log.read_text(), seconds=120)
    hosts.output(upgrading, f"touch {OVER}")
    run.wait().succeeded().says(f"{waits}: this run waits for it, 20 minutes at most.")


def test_a_host_that_is_made_for_too_long_is_refused(upgrading: Host, playbooks: Playbooks) -> None:
    run = playbooks.run("playbooks/preflight.yml", slipway_first_boot_minutes=0).refused()
    run.says("is still being made after 0 minutes", "Nothing was changed.")


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


def test_a_rotation_of_the_journal_files_each_line_once(ubuntu: Host) -> None:
    hosts.output(ubuntu, "logger --tag proof before-rotation && journalctl --rotate")
    hosts.output(ubuntu, "logger --tag proof after-rotation")
    hosts.until("it is filed", lambda: "after-rotation" in hosts.output(ubuntu, SYSLOG), seconds=20)
    hosts.output(ubuntu, "systemctl stop rsyslog syslog.socket && logger --tag proof while-stopped")
    hosts.output(ubuntu, "journalctl --rotate && systemctl start rsyslog && logger --tag proof at-last")
    hosts.until("it is filed", lambda: "at-last" in hosts.output(ubuntu, SYSLOG), seconds=20)
    filed = hosts.output(ubuntu, r"grep -o 'proof\(\[[0-9]*\]\)\?: .*' /var/log/syslog").splitlines()
    for line in ("before-rotation", "after-rotation", "while-stopped", "at-last"):
        assert sum(line in each for each in filed) == 1, (line, filed)


def test_the_clock_is_kept_by_the_daemon_that_is_there(ubuntu: Host, playbooks: Playbooks) -> None:
    playbooks.run("playbooks/base.yml", "--tags", "base", base_time_servers=["192.0.2.123"]).succeeded()
    assert "192.0.2.123" in hosts.output(ubuntu, "chronyc -n sources")
    assert ubuntu.run("test -e /etc/systemd/timesyncd.conf.d/slipway.conf").returncode != 0


# A bridge that nothing is connected to, as a second interface of a server often is; a boot waits 8 s for it, not 120.
IDLE = """set -e
printf '[NetDev]\nName=idle0\nKind=bridge\n' > /etc/systemd/network/90-idle.netdev
printf '[Match]\nName=idle0\n[Network]\nDHCP=yes\nLinkLocalAddressing=no\n' > /etc/systemd/network/90-idle.network
folder=/etc/systemd/system/systemd-networkd-wait-online.service.d
mkdir -p $folder
printf '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --timeout=8\n' > $folder/short.conf
"""
OPTIONAL = "printf '[Link]\nRequiredForOnline=no\n' >> /etc/systemd/network/90-idle.network"
SLOW_BOOT = "the last boot waited"


def test_a_boot_that_waits_for_an_idle_interface_is_told_with_what_ends_it(
    ubuntu: Host, site: Site, playbooks: Playbooks
) -> None:
    hosts.output(ubuntu, IDLE)
    ubuntu.reboot()
    serving(ubuntu, site)
    waited = playbooks.run("playbooks/verify.yml").succeeded()
    waited.says(SLOW_BOOT, "networkctl says which has none", "optional: true for it in /etc/netplan")
    assert "configuring" in hosts.output(ubuntu, "networkctl --no-legend list idle0")

    hosts.output(ubuntu, OPTIONAL)
    ubuntu.reboot()
    serving(ubuntu, site)
    assert SLOW_BOOT not in playbooks.run("playbooks/verify.yml").succeeded().said


def beginnings(host: Host) -> dict[str, str]:
    """Which run of each unit that serves this is, and of ssh, which serves nobody's request."""
    units = ("postgresql@14-main.service", "nginx.service", hosts.live_unit(host), "ssh.service")
    ask = "systemctl show --property=InvocationID --value"
    return {unit: hosts.output(host, f"{ask} '{unit}'") for unit in units}


def test_an_update_of_a_library_restarts_nothing_that_serves_and_what_waits_is_said(
    ubuntu: Host, site: Site, playbooks: Playbooks
) -> None:
    before = beginnings(ubuntu)
    hosts.output(ubuntu, UPDATE)
    after = beginnings(ubuntu)
    assert {unit for unit in before if before[unit] != after[unit]} == {"ssh.service"}
    playbooks.run("playbooks/verify.yml").succeeded().says(
        "an update waits for a restart of", "postgresql@14-main.service"
    )

    # Without our word it is an ordinary night of a cloud's Ubuntu: the database goes down.
    hosts.output(ubuntu, f"mv {OURS} /root/ && {UPDATE}; mv /root/slipway.conf {OURS}")
    assert beginnings(ubuntu)["postgresql@14-main.service"] != before["postgresql@14-main.service"]
    serving(ubuntu, site)
