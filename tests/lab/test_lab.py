"""What the lab gives: hosts that boot, answer, crash, reboot, and go back to what they were."""

import subprocess

import pytest

from tests.lab import process
from tests.lab.conftest import ROOT, run_lab
from tests.lab.errors import LabError
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab


def text(host: Host, command: str) -> str:
    return host.run(command, check=True).stdout.strip()


def boot_of(host: Host) -> object:
    running = host.running()
    assert running is not None, host.console_tail()
    return running.nspawn()


def test_hosts_are_whole_systems_with_their_own_names_and_addresses(lab: Lab) -> None:
    for name, host in lab.hosts.items():
        assert text(host, "systemctl is-system-running --wait") == "running", text(host, "systemctl --failed")
        assert text(host, "hostname") == name
        assert host.address in text(host, "ip -brief address show host0")
        assert text(host, "cat /proc/1/comm") == "systemd"


def test_a_second_up_changes_nothing(lab: Lab) -> None:
    before = {name: boot_of(host) for name, host in lab.hosts.items()}
    assert lab.up() == []
    assert {name: boot_of(host) for name, host in lab.hosts.items()} == before


def test_ansible_reaches_the_hosts_through_the_inventory_alone(lab: Lab) -> None:
    ansible = [
        "ansible",
        "-i",
        str(lab.site.inventory),
        "all",
        "-m",
        "ansible.builtin.command",
        "-a",
        "hostname",
    ]
    done = subprocess.run(ansible, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(lab.hosts) <= set(done.stdout.splitlines())


def test_a_host_with_another_hosts_key_is_not_trusted(lab: Lab) -> None:
    access = lab.site.access
    known = access.known_hosts.read_text()
    first, second = (line.split()[2] for line in known.splitlines())
    assert first != second
    for host in lab.hosts.values():
        access.disconnect(host.address)
    try:
        access.known_hosts.write_text(known.replace(first, "X").replace(second, first).replace("X", second))
        assert not any(access.logs_in(host.address) for host in lab.hosts.values())
    finally:
        access.known_hosts.write_text(known)
    assert all(access.logs_in(host.address) for host in lab.hosts.values())


def test_hosts_reach_each_other_and_the_package_cache_and_nothing_else(lab: Lab) -> None:
    first, second = lab.hosts.values()
    network = lab.site.network
    assert first.run(f"timeout 2 bash -c '</dev/tcp/{second.address}/22'").returncode == 0
    assert first.run(f"timeout 2 bash -c '</dev/tcp/{network.address}/{network.port}'").returncode == 0
    assert first.run("timeout 2 bash -c '</dev/tcp/192.0.2.1/80'").returncode != 0


def test_a_host_is_as_bare_as_a_new_instance(lab: Lab) -> None:
    host = lab.host("test-1")
    assert host.run("getent ahosts $(hostname)").returncode != 0
    installed = text(host, "dpkg-query -W -f '${Package}\\n'").split()
    not_in_a_new_instance = {
        "nginx",
        "rsyslog",
        "locales",
        "postgresql-common",
        "python3-venv",
        "nftables",
        "curl",
    }
    assert not not_in_a_new_instance & set(installed)
    assert text(host, "stat -c '%a %U' / /etc /etc/ssh /root /root/.ssh") == "\n".join(
        ["755 root", "755 root", "755 root", "700 root", "700 root"]
    )


def test_a_refused_name_answers_at_once(lab: Lab) -> None:
    # A resolver that is asked and does not answer takes five seconds a try, and tries again.
    assert lab.host("test-1").run("timeout 9 getent ahosts absent.example").returncode == 2


def test_a_restored_host_has_the_files_of_its_snapshot_to_the_last_attribute(lab: Lab) -> None:
    host = lab.host("test-1")
    key = text(host, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    host.run(
        """set -e
        mkdir -p /srv/tree/sub; echo kept > /srv/tree/file; ln /srv/tree/file /srv/tree/sub/link
        chown 1234:4321 /srv/tree/sub; chmod 2750 /srv/tree/sub; mkfifo /srv/tree/pipe
        python3 -c 'import os; os.setxattr("/srv/tree/file", "user.note", b"x"); os.truncate("/srv/tree/file", 5)'
        mv /usr/share/doc/sudo /usr/share/doc/sudo-moved
        rm /etc/issue""",
        check=True,
    )
    host.snapshot("made")
    host.run(
        "rm -rf /srv/tree /usr/share/doc/sudo-moved; echo new > /etc/issue; echo late > /srv/late", check=True
    )
    before = boot_of(host)
    host.restore("made")
    assert boot_of(host) != before
    assert text(host, "cat /srv/tree/sub/link") == "kept"
    assert text(host, "stat -c %h /srv/tree/file; stat -c '%u:%g %a' /srv/tree/sub") == "2\n1234:4321 2750"
    assert text(host, "test -p /srv/tree/pipe && echo pipe") == "pipe"
    assert text(host, 'python3 -c \'import os; print(os.getxattr("/srv/tree/file", "user.note"))\'') == "b'x'"
    assert text(host, "ls /usr/share/doc/sudo-moved /srv") != ""
    assert host.run("test -e /etc/issue || test -e /srv/late || test -e /usr/share/doc/sudo").returncode == 1
    assert text(host, "cat /etc/ssh/ssh_host_ed25519_key.pub") == key


def test_the_same_snapshot_is_made_again_and_restored_again(lab: Lab) -> None:
    host = lab.host("test-2")
    for content in ("one", "two"):
        host.run(f"echo {content} > /srv/again", check=True)
        host.snapshot("again")
    for _ in range(2):
        host.run("rm /srv/again", check=True)
        host.restore("again")
        assert text(host, "cat /srv/again") == "two"
    assert host.snapshots() == ["again"]


def test_a_stopped_host_stays_stopped_when_its_files_are_kept(lab: Lab) -> None:
    host = lab.host("test-2")
    host.kill()
    host.snapshot("stopped")
    assert host.running() is None
    host.restore("stopped")
    assert host.running() is not None


def test_a_reboot_boots_the_same_files(lab: Lab) -> None:
    host = lab.host("test-1")
    host.run("echo before > /srv/reboot; echo gone > /run/reboot", check=True)
    before = boot_of(host)
    host.reboot()
    assert boot_of(host) != before
    assert text(host, "cat /srv/reboot; ls /run/reboot 2>/dev/null; true") == "before"


def test_a_host_that_powers_off_stays_off_until_up(lab: Lab) -> None:
    host = lab.host("test-2")
    host.run("echo kept > /srv/off; systemctl poweroff")
    running = host.running()
    assert running is None or process.wait(running.supervisor, 30), host.console_tail()
    assert host.running() is None
    assert lab.up() == [host]
    assert text(host, "cat /srv/off") == "kept"


def test_a_crash_ends_every_process_of_the_host_at_once(lab: Lab) -> None:
    host = lab.host("test-2")
    host.run("echo kept > /srv/crash; systemd-run --quiet sleep 4242", check=True)
    host.kill()
    assert subprocess.run(["pgrep", "-f", "^/usr/bin/sleep 4242"], stdout=subprocess.DEVNULL).returncode == 1
    assert host.running() is None
    with pytest.raises(LabError, match="test-2 does not run"):
        host.kill()
    assert lab.up() == [host]
    assert text(host, "cat /srv/crash") == "kept"


def test_the_command_line_runs_commands_and_passes_their_status(lab: Lab) -> None:
    ssh = ("ssh", "--inventory", lab.site.inventory, "test-1", "--")
    assert run_lab(*ssh, "hostname").stdout == "test-1\n"
    assert run_lab(*ssh, "exit 7").returncode == 7
    listed = run_lab("list", "--inventory", lab.site.inventory).stdout
    assert ["test-1", lab.host("test-1").address, "running"] == listed.splitlines()[0].split()[:3]
