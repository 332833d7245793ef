"""`fab exec` on a host that serves: the service's own command, sandbox, credentials and user, and its exit code."""

from __future__ import annotations

import json

import pytest

from tests.e2e import hosts
from tests.e2e.fab_runs import Fab
from tests.e2e.ground import entries
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

# What systemd gives the command while it runs, and the live release: those properties that the unit of both names.
COMPARED = r"""
unit=/etc/systemd/system/shop@.service
names=$(sed -n 's/^\([A-Z][A-Za-z]*\)=.*/\1/p' $unit | sort -u | tr '\n' ,)EnvironmentFiles
slipway exec -- check-config > /dev/null &
for _ in $(seq 500); do
  unit=$(systemctl show --property=Id --value 'shop-exec-*')
  [ -n "$unit" ] && break
done
systemctl show --property="$names" "$unit" > /tmp/command
wait
systemctl show --property="$names" {live} > /tmp/live
diff /tmp/live /tmp/command
"""
# A server's, by the decision record; the environment without the place of its metrics.
SERVERS_OWN = {
    "Description", "Documentation", "Wants", "After", "StartLimitBurst",
    "Environment", "ExecStart", "ExecStartPre", "KillMode", "LogRateLimitIntervalUSec", "LogRateLimitIntervalSec",
    "NotifyAccess", "OOMPolicy", "Restart", "RestartUSec", "RestartSec", "RuntimeDirectory", "RuntimeDirectoryMode",
    "SyslogIdentifier", "TimeoutStopUSec", "TimeoutStopSec", "Type", "WantedBy",
}  # fmt: skip


@pytest.fixture
def fab(lab: Lab, host: Host) -> Fab:
    return Fab(lab.site.inventory.name)


def test_a_command_is_the_services_and_so_are_its_output_and_exit_code(fab: Fab, host: Host) -> None:
    done = fab.run("exec", "--", "create-admin", "on-call@shop.example", "--name", "On Call")
    # Beside it is what the service logs, on the other stream.
    (made,) = (json.loads(line) for line in done.ended(0).output.splitlines() if '"password"' in line)
    assert made["role"] == "admin"

    nobody = "$HOME %i 'x' <none>@shop.example"
    fab.run("exec", "--", "set-user", nobody, "--disable").ended(1, f"No user has the address {nobody}.")
    fab.run("exec", "--", "nonsense").ended(2, "invalid choice: 'nonsense'")

    begin, *_, end = entries(host, "exec")
    assert begin["details"]["words"][0] == "create-admin"
    assert (end["details"]["words"], end["details"]["exit"]) == (["nonsense"], 2)
    # Whoever asked is shown what was made, and nobody else.
    assert "password" in made
    assert made["password"] not in hosts.output(host, "cat /var/lib/slipway/shop/journal.jsonl; journalctl")


def test_it_has_the_whole_sandbox_of_the_service(fab: Fab, host: Host) -> None:
    done = host.run(COMPARED.replace("{live}", hosts.live_unit(host)))
    live: dict[str, list[str]] = {}
    command: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line[0] in "<>":
            name, _, value = line[2:].partition("=")
            # Some lists are sets: systemd 249 shows their members in the order in which it met them.
            (live if line[0] == "<" else command)[name] = sorted(value.split())
    differing = {name for name in {**live, **command} if live.get(name) != command.get(name)}
    assert differing <= SERVERS_OWN, done.stdout


def test_one_that_takes_too_long_is_ended(fab: Fab, host: Host) -> None:
    fab.run("exec", "--seconds=0", "--", "purge").ended(125, "is not a number of seconds")
    done = host.run("slipway exec --seconds=0.1 -- check-config")
    assert (done.returncode, done.stdout) == (124, "")
    assert "it had not ended after 0.1 s" in done.stderr
    assert hosts.output(host, "systemctl list-units --all --plain --no-legend 'shop-exec-*'").strip() == ""
