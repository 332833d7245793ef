"""nginx reaches the service's sockets by a group of their own; a host that serves by the old one gets there uncut."""

from __future__ import annotations

import grp
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY
from tests.unit.plugins.test_postgresql_harness import run_module

from ansible.module_utils.slipway_host import reach  # isort: skip

# The role's variables with the facts of each case.
PLAY = """
- hosts: localhost
  gather_facts: false
  vars_files: [{vars}]
  tasks:
    - ansible.builtin.copy:
        dest: "{folder}/{{{{ case }}}}"
        mode: "0600"
        content: "{{{{ [__app_group_left, __app_nginx_outdated] | to_json }}}}"
      vars: {{ansible_facts: "{{{{ cases[case] }}}}"}}
      loop: "{{{{ cases.keys() | list }}}}"
      loop_control: {{loop_var: case}}
"""
OLD, BOTH, NEW = ["shop"], ["shop", "shop-http"], ["shop-http"]


def process(proc: Path, pid: int, parent: int, groups: str, title: str) -> None:
    """One of /proc."""
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "status").write_text(
        f"Name:\tnginx\nPPid:\t{parent}\nGid:\t33\t33\t33\t33\nGroups:\t{groups}\n"
    )
    (folder / "cmdline").write_text(f"{title}\0")


def test_the_groups_of_nginx_are_those_that_every_worker_of_the_hosts_own_has(tmp_path: Path) -> None:
    proc, pid_file = tmp_path / "proc", tmp_path / "nginx.pid"
    pid_file.write_text("10\n")
    root, fourth = grp.getgrgid(0).gr_name, grp.getgrgid(4).gr_name
    process(proc, 10, 1, "0", "nginx: master process /usr/sbin/nginx")
    process(proc, 11, 10, "0 4 70000", "nginx: worker process")
    process(proc, 12, 10, "4 70000", "nginx: worker process")
    # One that answers its last requests, and somebody else's, as in a container.
    process(proc, 13, 10, "33", "nginx: worker process is shutting down")
    process(proc, 14, 9, "0", "nginx: worker process")

    found = reach.nginx_groups(str(proc), str(pid_file))

    assert fourth in found
    assert "70000" in found
    assert root not in found
    pid_file.write_text("99\n")
    assert reach.nginx_groups(str(proc), str(pid_file)) == []
    assert reach.nginx_groups(str(proc), str(tmp_path / "missing")) == []


def test_the_groups_of_instances_are_those_of_their_folders(tmp_path: Path) -> None:
    assert reach.instance_groups(str(tmp_path / "shop")) == []
    (tmp_path / "shop/20261122T160501Z-3f2a9c1").mkdir(parents=True)
    assert reach.instance_groups(str(tmp_path / "shop")) == [grp.getgrgid(os.getegid()).gr_name]


# As what www-data is in, its workers have and instances are guarded by: whether it leaves the old one, and is reloaded.
CASES = {
    "a bare host": ([], [], [], False, False),
    "one that serves by the old group": (OLD, OLD, OLD, False, True),
    "one whose run was killed before the reload": (BOTH, OLD, OLD, False, True),
    "one whose release was started before": (BOTH, BOTH, OLD, False, False),
    "one with an earlier release that is warm": (BOTH, BOTH, BOTH, False, False),
    "one that needs the old group no more": (BOTH, BOTH, NEW, True, True),
    "one whose run was killed before that reload": (NEW, BOTH, NEW, False, True),
    "one that is as it should be": (NEW, NEW, NEW, False, False),
}


def test_what_a_run_does_about_the_groups(tmp_path: Path) -> None:
    cases: dict[str, dict[str, Any]] = {
        name: {
            "users": {"www-data": {"groups": member}},
            "units_running": ["nginx.service"] if workers else [],
            "nginx_groups": workers,
            "instance_groups": instances,
        }
        for name, (member, workers, instances, *_) in CASES.items()
    }
    play, given = tmp_path / "play.yml", tmp_path / "cases.json"
    play.write_text(PLAY.format(vars=REPOSITORY / "roles/app/vars/main.yml", folder=tmp_path))
    given.write_text(json.dumps({"cases": cases, "app_name": "shop"}))

    command = [str(ANSIBLE_PLAYBOOK), "-i", "localhost,", "-c", "local", "-e", f"@{given}", str(play)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
    assert {name: json.loads((tmp_path / name).read_text()) for name in CASES} == {
        name: [left, reload] for name, (*_, left, reload) in CASES.items()
    }


# What is seen of the edges (nothing of one that was not looked at in this run), whether the app host asks already, what
# the variable says: whether it will ask.
SHOWS = {"standing": {"nginx": "digest"}, "private_port": {"serves": True, "shows": True}}
SILENT = {"standing": {"nginx": "digest"}, "private_port": {"serves": True, "shows": False}}
PENDING = {"standing": {}, "private_port": {"serves": True, "shows": True}}
BARE = {"standing": {}, "private_port": {"serves": False, "shows": False}}
ASKING = {
    "a fleet that is made": ([BARE, BARE], False, "auto", True),
    "a new edge beside one that shows one": ([SHOWS, BARE], False, "auto", True),
    "edges that show none yet": ([SILENT, SILENT], False, "auto", False),
    "an edge that shows none yet": ([SHOWS, SILENT], False, "auto", False),
    "an edge whose files are not in force": ([SHOWS, PENDING], False, "auto", False),
    "edges that show one": ([SHOWS, SHOWS], False, "auto", True),
    "edges that were not looked at": ([{}, {}], False, "auto", False),
    "edges that were not looked at, asked before": ([{}, {}], True, "auto", True),
    "told so": ([SILENT, SILENT], False, "required", True),
    "told not to": ([SHOWS, SHOWS], True, "ignored", False),
}
ASKING_PLAY = """
- hosts: app
  gather_facts: false
  vars_files: [{vars}]
  tasks:
    - ansible.builtin.copy:
        dest: "{folder}/{{{{ case }}}}"
        mode: "0600"
        content: "{{{{ __nginx_asks | bool | to_json }}}}"
      vars:
        ansible_facts: {{private_port: {{asks: "{{{{ cases[case][1] }}}}"}}}}
        __nginx_edges: "{{{{ cases[case][0] }}}}"
        nginx_edge_certificates: "{{{{ cases[case][2] }}}}"
      loop: "{{{{ cases.keys() | list }}}}"
      loop_control: {{loop_var: case}}
"""


def test_an_app_host_asks_for_a_certificate_once_every_edge_shows_one(tmp_path: Path) -> None:
    play, given, inventory = tmp_path / "play.yml", tmp_path / "cases.json", tmp_path / "hosts"
    play.write_text(ASKING_PLAY.format(vars=REPOSITORY / "roles/nginx/vars/main.yml", folder=tmp_path))
    given.write_text(json.dumps({"cases": ASKING}))
    inventory.write_text("[app]\napp-1 ansible_connection=local\n[edge]\nedge-1\nedge-2\n")

    command = [str(ANSIBLE_PLAYBOOK), "-i", str(inventory), "-e", f"@{given}", str(play)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
    assert {name: json.loads((tmp_path / name).read_text()) for name in ASKING} == {
        name: asks for name, (*_, asks) in ASKING.items()
    }


def test_what_stands_at_the_private_port_is_seen(tmp_path: Path) -> None:
    edge, app_host = str(tmp_path / "shop.conf"), str(tmp_path / "shop-private.conf")
    assert reach.private_port(edge, app_host) == {"serves": False, "shows": False, "asks": False}
    (tmp_path / "shop.conf").write_text("    listen 443 ssl;\n    proxy_ssl_certificate_key /key;\n")
    (tmp_path / "shop-private.conf").write_text("server {\n    listen 192.0.2.21:8443 ssl;\n}\n")
    assert reach.private_port(edge, app_host) == {"serves": True, "shows": False, "asks": False}
    (tmp_path / "shop.conf").write_text("    listen 443 ssl;\n    proxy_ssl_certificate /pem;\n")
    (tmp_path / "shop-private.conf").write_text("    listen 1:8443 ssl;\n    ssl_verify_client optional;\n")
    assert reach.private_port(edge, app_host) == {"serves": True, "shows": True, "asks": True}


def test_this_machine_is_seen() -> None:
    seen = run_module("host_facts", {"app": "shop"}, False)["ansible_facts"]
    assert "root" in seen["groups"]
    assert isinstance(seen["nginx_groups"], list)
