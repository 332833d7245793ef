"""A host that is taken out of Slipway with all its data: what it was before, and its packages."""

import json
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import Bare
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

RECORD = "cat /var/lib/slipway/files/shop/*.json"
OURS = "grep --recursive --files-with-matches 'Written by Slipway' /etc /usr/local; true"
DATA = "ls -d /srv/shop /var/lib/slipway /var/backups/slipway 2>/dev/null; true"
USERS = (
    "getent passwd deploy shop shop_migrate slipway_backup; getent group deploy shop; pg_lsclusters -h; true"
)


def written(host: Host) -> dict[str, str]:
    """Return every path that Slipway's records name, with the checksum of what was written there."""
    decoder, text = json.JSONDecoder(), hosts.output(host, RECORD)
    found: dict[str, str] = {}
    while text:
        record, end = decoder.raw_decode(text)
        found |= record["files"]
        text = text[end:].strip()
    return found


def all_of(host: Host) -> dict[str, Any]:
    """Return what is typed to retire a host that is needed, with its data."""
    return {
        "retire_host": host.name,
        "retire_in_use": True,
        "retire_data": True,
        "retire_confirm": host.name,
    }


def test_nothing_of_slipways_is_left_on_a_retired_host(
    spoilt: Host, bare: Bare, playbooks: Playbooks
) -> None:
    paths = written(spoilt)
    assert {"/etc/hosts", "/etc/sudoers.d/slipway", "/usr/local/sbin/slipway"} <= set(paths)
    refused = playbooks.run("playbooks/retire.yml", retire_host=spoilt.name).refused()
    refused.says(f"{spoilt.name} is the last app host that serves", "Nothing was changed.")
    assert written(spoilt) == paths

    playbooks.run("playbooks/retire.yml", **all_of(spoilt)).succeeded().says("Left there: no data;")

    # What stands in the place of a file of Slipway's is the host's own, or what a package brought.
    now = hosts.files(spoilt, "/etc", "/usr/local", "/home")
    back = [path for path in paths if path in now and now[path] != bare.files.get(path)]
    sums = [
        line.split() for line in hosts.output(spoilt, f"sha256sum {' '.join(back)} /dev/null").splitlines()
    ]
    assert [path for checksum, path in sums if paths.get(path) == checksum] == []
    for command in (OURS, DATA, USERS, "systemctl --failed --no-legend"):
        assert hosts.output(spoilt, command) == "", command
    assert hosts.listening(spoilt, "tcp") <= {("0.0.0.0", "22"), ("[::]", "22")}


def test_a_second_time_there_is_nothing_to_do(spoilt: Host, playbooks: Playbooks) -> None:
    again = playbooks.run("playbooks/retire.yml", **all_of(spoilt)).succeeded()
    assert again.changed == 0, again
