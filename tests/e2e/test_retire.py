"""A host that is taken out of Slipway with all its data: what it was before, and its packages."""

import json

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import Bare
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

RECORD = "cat /var/lib/slipway/files/*.json"
# What the packages bring, and owners and times of folders, are not Slipway's.
KEPT_BY_PACKAGES = ("/etc/nginx/nginx.conf", "/etc/rsyslog.conf", "/etc/rsyslog.d/50-default.conf")


def written(host: Host) -> set[str]:
    """Return every path that Slipway's records name."""
    decoder, text, found = json.JSONDecoder(), hosts.output(host, RECORD), set()
    while text:
        record, end = decoder.raw_decode(text)
        found |= set(record["files"])
        text = text[end:].strip()
    return found


def test_nothing_of_slipways_is_left_on_a_retired_host(
    spoilt: Host, bare: Bare, playbooks: Playbooks
) -> None:
    paths = written(spoilt)
    assert {"/etc/hosts", "/etc/sudoers.d/slipway", "/usr/local/sbin/slipway"} <= paths
    refused = playbooks.run("playbooks/retire.yml", retire_host=spoilt.name).refused()
    refused.says(f"{spoilt.name} is the last app host that serves", "Nothing was changed.")
    assert written(spoilt) == paths

    said = {
        "retire_host": spoilt.name,
        "retire_in_use": True,
        "retire_data": True,
        "retire_confirm": spoilt.name,
    }
    playbooks.run("playbooks/retire.yml", **said).succeeded().says("Left there: no data;")

    now = hosts.files(spoilt, "/etc", "/usr/local", "/home")
    left = {path for path in paths if path in now and now[path] != bare.files.get(path)}
    by_package = {path for path in left if spoilt.run(f"dpkg --search {path}").returncode == 0}
    assert left - by_package - set(KEPT_BY_PACKAGES) == set(), left
    assert (
        hosts.output(
            spoilt, "grep --recursive --files-with-matches 'Written by Slipway' /etc /usr/local; true"
        )
        == ""
    )
    assert (
        hosts.output(spoilt, "ls -d /srv/shop /var/lib/slipway /var/backups/slipway 2>/dev/null; true") == ""
    )
    assert (
        hosts.output(spoilt, "getent passwd deploy shop shop_migrate slipway_backup; pg_lsclusters -h; true")
        == ""
    )
    assert hosts.output(spoilt, "systemctl --failed --no-legend") == ""
    assert hosts.listening(spoilt, "tcp") <= {("0.0.0.0", "22"), ("[::]", "22")}


def test_a_second_time_there_is_nothing_to_do(spoilt: Host, playbooks: Playbooks) -> None:
    said = {
        "retire_host": spoilt.name,
        "retire_in_use": True,
        "retire_data": True,
        "retire_confirm": spoilt.name,
    }
    assert playbooks.run("playbooks/retire.yml", **said).succeeded().changed == 0
