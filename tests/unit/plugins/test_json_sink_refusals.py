"""A sink of JSON lines that could not take any is refused, before anything changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.unit.plugins.ansible_run import REPOSITORY, play

SINK = {"rsyslog_json_host": "elk.example", "rsyslog_json_port": 5000, "rsyslog_json_ca": "/etc/elk.pem"}
NONE = dict.fromkeys([f"rsyslog_json_{name}" for name in ("host", "port", "ca", "certificate", "key")], "")
PAIR = {"rsyslog_json_certificate": "/etc/a.pem", "rsyslog_json_key": "/etc/a.key"}
# Variables, and what is said of them.
CASES: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    (SINK, ""),
    ({**SINK, **PAIR}, ""),
    ({**SINK, "rsyslog_json_host": "logs-1"}, ""),
    ({**SINK, "rsyslog_json_port": 0}, "rsyslog_json_port is 0, not a whole number from 1 to 65535"),
    ({**SINK, "rsyslog_json_ca": ""}, "rsyslog_json_ca is '', not the path of a file on the hosts"),
    ({**SINK, "rsyslog_json_host": "elk example"}, "rsyslog_json_host is 'elk example', not a name"),
    ({**SINK, **PAIR, "rsyslog_json_key": ""}, "rsyslog_json_key is '', not given with its"),
    ({**SINK, "rsyslog_json_host": "logs-1", "rsyslog_json_port": 2514}, "2514 is the collector's own"),
    ({**SINK, "rsyslog_json_host": "192.0.2.41", "rsyslog_json_port": 2514}, "2514 is the collector's own"),
]


def test_what_no_line_could_be_sent_to_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    given = {f"case-{number}": {**NONE, **variables} for number, (variables, _) in enumerate(CASES)}
    role = REPOSITORY / "roles/rsyslog"
    done = play(
        tmp_path,
        [
            {"name": "Read", "ansible.builtin.include_vars": {"file": f"{role}/defaults/main.yml"}},
            {"name": "Read on", "ansible.builtin.include_vars": {"file": f"{role}/vars/main.yml"}},
            {
                "name": "Give",
                "ansible.builtin.set_fact": {
                    name: f"{{{{ given[inventory_hostname].{name} }}}}" for name in NONE
                },
            },
            {
                "name": "Group",
                "ansible.builtin.group_by": {"key": "logs"},
                "when": "inventory_hostname == 'logs-1'",
            },
            {"name": "Check", "ansible.builtin.debug": {"msg": "{{ __rsyslog_refusals | refusals }}"}},
        ],
        hosts=",".join([*given, "logs-1"]),
        given={**given, "logs-1": NONE},
        base_known_hosts={"logs-1": "192.0.2.41"},
    )
    said = {host: result["msg"] for task, host, result in done.rows if task == "Check"}

    for (variables, sentence), host in zip(CASES, given, strict=True):
        assert (sentence in " ".join(said[host])) if sentence else not said[host], (variables, said[host])


def test_a_file_that_is_not_on_the_host_is_named_and_one_of_ours_need_not_be_there(tmp_path: Path) -> None:
    (block, *_) = yaml.safe_load((REPOSITORY / "playbooks/tasks/neighbours.yml").read_text())
    there, ours = tmp_path / "ca.pem", tmp_path / "ours"
    there.touch()

    def sentence(**variables: Any) -> str:
        done = play(tmp_path, [block], certificates_folder=str(ours), **variables)
        (found,) = (result for task, _, result in done.rows if task == "Refuse what rsyslogd could not read")
        return str(found["msg"]) if found.get("failed") else ""

    sink = {**SINK, "rsyslog_json_ca": str(there)}
    assert sentence(**sink, rsyslog_json_certificate=f"{ours}/host.pem") == ""
    assert f"localhost has no file {tmp_path}/none.pem" in sentence(
        **{**sink, "rsyslog_json_ca": f"{tmp_path}/none.pem"}
    )
