"""What is on a host already is refused in sentences that say who it is and how to go on; what Slipway left is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contract import repository
from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY, load_plugin

neighbours = load_plugin("filter/neighbours").neighbours

APACHE = {"address": "*", "port": 80, "program": "apache2", "pid": 321, "unit": "apache2.service"}
FOREIGN = {
    "name": "14/main", "port": 5432, "runs": True, "ours": False, "locale": "C.UTF-8 UTF8",
    "databases": ["crm"], "databases_not_asked": 0, "foreign_rules": ["host crm crm 10.0.0.0/8 md5"],
}  # fmt: skip
HUMAN = {"uid": 1001, "comment": "Ada,,,", "home": "/home/deploy", "shell": "/bin/bash", "groups": ["sudo"]}
OURS = {**HUMAN, "comment": "Deploys releases with slipway", "groups": ["systemd-journal"]}
PORT_80 = {"port": 80, "address": "", "program": "nginx", "purpose": "the public site", "variable": ""}
METRICS = {
    "port": 9145, "address": "127.0.0.1", "program": "nginx", "purpose": "metrics", "variable": "nginx_metrics_port",
}  # fmt: skip
NOBODY = dict.fromkeys(("nginx", "postgresql", "rsyslog", "deploy", "app_users"), False)


def facts(**changed: Any) -> dict[str, Any]:
    """What is seen of a bare host, but for what is changed."""
    path = REPOSITORY / "tests/templates/facts/Ubuntu-22.yml"
    return {**yaml.safe_load(path.read_text(encoding="utf-8")), **changed}


def wanted(**changed: Any) -> dict[str, Any]:
    """One host that is to be everything, but for what is changed."""
    plain = {
        "address": "10.0.0.5", "hosts": 1, "check": False, "cluster": "14/main", "cluster_port": 5432, "serves": True,
        "app": "shop", "takeover": NOBODY, "ports": [PORT_80, METRICS],
        "journal": {"disk": "1G", "retention": "1month"},
    }  # fmt: skip
    return {**plain, **changed}


def taken_over(part: str) -> dict[str, Any]:
    return wanted(takeover={**NOBODY, part: True})


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def test_a_bare_host_is_in_nobodys_way() -> None:
    assert neighbours(facts(), wanted()) == []


def test_a_program_on_a_port_is_named_with_its_pid_and_how_to_stop_it() -> None:
    assert only(neighbours(facts(listeners=[APACHE]), wanted())) == (
        "apache2 (pid 321, apache2.service) listens on *:80, which nginx needs for the public site: "
        "systemctl disable --now apache2.service."
    )


def test_a_port_that_a_variable_names_can_be_another_one() -> None:
    found = {"address": "127.0.0.1", "port": 9145, "program": "", "pid": 0, "unit": ""}

    assert only(neighbours(facts(listeners=[found]), wanted())) == (
        "Something that the kernel does not name listens on 127.0.0.1:9145, which nginx needs for metrics: "
        "end it, and what starts it, or set nginx_metrics_port to another port."
    )


@pytest.mark.parametrize(
    "found",
    [
        {**APACHE, "program": "nginx", "unit": "nginx.service"},
        {**APACHE, "port": 8080},
        {**APACHE, "port": 9145, "address": "10.0.0.5"},
    ],
)
def test_a_port_is_free_for_whoever_is_meant_to_have_it_and_where_nobody_needs_it(
    found: dict[str, Any],
) -> None:
    assert neighbours(facts(listeners=[found]), wanted()) == []


def test_a_host_that_cannot_say_who_listens_has_not_said_that_nobody_does() -> None:
    said = only(neighbours(facts(listeners=None), wanted()))

    assert "run apt-get install iproute2 there" in said
    assert neighbours(facts(listeners=None), wanted(ports=[])) == []


def test_sites_of_somebody_else_are_named_and_taken_over_only_when_that_is_said() -> None:
    seen = facts(
        nginx_foreign=["/etc/nginx/sites-enabled/blog", "/etc/nginx/nginx.conf"], nginx_blocks=["stream"]
    )

    said = only(neighbours(seen, wanted()))

    assert "not Slipway's: /etc/nginx/sites-enabled/blog, /etc/nginx/nginx.conf (with stream {})." in said
    assert "or set nginx_takeover: true" in said
    assert neighbours(seen, taken_over("nginx")) == []
    assert neighbours(seen, wanted(serves=False)) == []


def test_a_cluster_with_databases_of_others_is_not_cut_off_from_them() -> None:
    said = only(neighbours(facts(postgresql_clusters=[FOREIGN]), wanted()))

    assert "14/main has the databases crm and access rules of its own (host crm crm 10.0.0.0/8 md5)." in said
    assert "set postgresql_takeover: true and say in postgresql_hba_extra who else comes in" in said
    assert neighbours(facts(postgresql_clusters=[FOREIGN]), taken_over("postgresql")) == []


def test_a_stopped_cluster_is_no_consent() -> None:
    stopped = {
        **FOREIGN,
        "runs": False,
        "databases": None,
        "databases_not_asked": 2,
        "foreign_rules": [],
    }

    assert "14/main is stopped and has databases (2)." in only(
        neighbours(facts(postgresql_clusters=[stopped]), wanted())
    )


def test_a_cluster_that_does_not_answer_is_no_consent() -> None:
    silent = {**FOREIGN, "databases": None, "foreign_rules": []}

    assert "14/main does not say which databases it has." in only(
        neighbours(facts(postgresql_clusters=[silent]), wanted())
    )


def test_a_cluster_that_is_ours_may_have_other_databases_beside() -> None:
    ours = {**FOREIGN, "ours": True, "foreign_rules": []}

    assert neighbours(facts(postgresql_clusters=[ours]), wanted()) == []


@pytest.mark.parametrize("runs", [True, False])
def test_a_cluster_that_an_interrupted_run_left_is_gone_on_with(runs: bool) -> None:
    databases: list[str] | None = [] if runs else None
    begun = {**FOREIGN, "runs": runs, "databases": databases, "foreign_rules": []}

    assert neighbours(facts(postgresql_clusters=[begun]), wanted()) == []


def test_another_cluster_on_the_port_is_named_and_left_alone() -> None:
    other = {**FOREIGN, "name": "15/legacy", "runs": False}

    said = only(neighbours(facts(postgresql_clusters=[other]), wanted()))

    assert said.startswith("The PostgreSQL cluster 15/legacy has port 5432 (it is stopped), which is to be")
    assert "set postgresql_port to another" in said
    assert neighbours(facts(postgresql_clusters=[{**other, "port": 5433}]), wanted()) == []


def test_our_clusters_name_on_another_port_is_told_with_the_port_to_set() -> None:
    moved = {**FOREIGN, "port": 5433, "databases": [], "foreign_rules": []}

    assert "postgresql_port is 5432: set postgresql_port: 5433." in only(
        neighbours(facts(postgresql_clusters=[moved]), wanted())
    )


def test_a_log_server_goes_on_receiving_unless_that_is_given_up() -> None:
    seen = facts(rsyslog_foreign={"/etc/rsyslog.conf": ['input(type="imtcp" port="514")']})

    said = only(neighbours(seen, wanted()))

    assert 'by /etc/rsyslog.conf (input(type="imtcp" port="514")), which Slipway writes anew' in said
    assert "or set rsyslog_takeover: true" in said
    assert neighbours(seen, taken_over("rsyslog")) == []


@pytest.mark.parametrize(
    ("found", "disk", "retention"),
    [
        ({"bytes": 3 << 30, "days": 5}, "1G", "1month"),
        ({"bytes": 900 << 20, "days": 40}, "1G", "1month"),
        ({"bytes": 900 << 20, "days": 40}, "4G", "30d"),
    ],
)
def test_a_journal_that_is_longer_than_it_may_be_is_not_cut_unasked(
    found: dict[str, int], disk: str, retention: str
) -> None:
    bounds = {"journal": {"disk": disk, "retention": retention}}

    said = only(neighbours(facts(journal=found), wanted(**bounds)))

    assert f"takes {found['bytes'] >> 20} MiB and reaches back {found['days']} days" in said
    assert neighbours(facts(journal=found), {**taken_over("rsyslog"), **bounds}) == []
    larger = {"journal": {"disk": "4G", "retention": "2months"}}
    assert neighbours(facts(journal=found), wanted(**larger)) == []


def test_a_human_called_deploy_keeps_the_account() -> None:
    said = only(neighbours(facts(users={"deploy": HUMAN}), wanted()))

    assert "There is a user deploy (uid 1001, /home/deploy) that Slipway did not make" in said
    assert "or set base_deploy_takeover: true" in said
    assert neighbours(facts(users={"deploy": HUMAN}), taken_over("deploy")) == []


def test_whoever_comes_in_as_deploy_is_told_so_though_it_were_given_up() -> None:
    seen = facts(users={"deploy": HUMAN}, came_in_as="deploy")

    assert "come in as another user (ansible_user)" in only(neighbours(seen, taken_over("deploy")))


@pytest.mark.parametrize(
    "seen", [{"users": {"deploy": OURS}}, {"users": {"deploy": HUMAN}, "recorded": ["base"]}]
)
def test_our_own_deploy_is_nobody_else(seen: dict[str, Any]) -> None:
    assert neighbours(facts(**seen), wanted()) == []


def test_a_human_called_shop_keeps_the_account() -> None:
    shop = {**HUMAN, "home": "/home/shop"}

    said = only(neighbours(facts(users={"shop": shop}), wanted()))

    assert "There is a user shop (uid 1001, /home/shop, /bin/bash) that Slipway did not make" in said
    assert neighbours(facts(users={"shop": shop}), taken_over("app_users")) == []
    assert neighbours(facts(users={"shop": shop}, recorded=["app"]), wanted()) == []
    assert neighbours(facts(users={"shop": shop}), wanted(app="")) == []


def test_the_services_own_users_are_nobody_else() -> None:
    ours = {"shop": {**HUMAN, "shell": "/usr/sbin/nologin", "home": "/nonexistent"}}

    assert neighbours(facts(users=ours), wanted()) == []


def test_what_dpkg_left_half_done_is_told_with_what_to_type() -> None:
    seen = facts(packages_unfinished=["libc6", "tzdata"])

    said = only(neighbours(seen, wanted()))

    assert said.startswith("dpkg began and did not finish libc6, tzdata, and nothing is at it now")
    assert "run dpkg --configure -a there" in said


def test_a_dpkg_that_is_at_work_is_not_half_done() -> None:
    assert neighbours(facts(packages_unfinished=["tzdata"], dpkg_works=True), wanted()) == []


def test_a_check_says_what_it_cannot_do_without_and_a_run_brings_it() -> None:
    assert "apt-get install python3-apt" in only(neighbours(facts(packages={}), wanted(check=True)))
    assert neighbours(facts(packages={}), wanted()) == []


def test_a_kernel_without_private_views_is_named_and_not_a_file_of_ours() -> None:
    said = only(neighbours(facts(private_view="mount: /etc: permission denied."), wanted()))

    assert "it said: mount: /etc: permission denied." in said
    assert "Allow the kernel module overlay" in said


def test_in_a_fleet_an_address_that_no_interface_has_is_refused_with_those_it_has() -> None:
    seen = facts(all_ipv4_addresses=["10.0.0.5"], all_ipv6_addresses=["2001:db8::5"])

    said = only(neighbours(seen, wanted(hosts=2, address="198.51.100.7")))

    assert (
        "slipway_address is 198.51.100.7, which no interface of this host has (it has 10.0.0.5, 2001:db8::5)"
        in said
    )
    assert neighbours(seen, wanted(hosts=2, address="2001:DB8:0::5")) == []


def test_all_that_is_in_the_way_is_said_at_once() -> None:
    seen = facts(
        listeners=[APACHE],
        packages_unfinished=["tzdata"],
        users={"deploy": HUMAN},
        postgresql_clusters=[FOREIGN],
    )

    assert len(neighbours(seen, wanted())) == 4


PLAY: list[dict[str, Any]] = [
    {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Stand in for the host's facts",
                "ansible.builtin.set_fact": {"{{ item.key }}": "{{ item.value }}", "cacheable": True},
                "loop": "{{ seen | dict2items }}",
                "loop_control": {"label": "{{ item.key }}"},
            },
            {"ansible.builtin.import_tasks": str(REPOSITORY / "playbooks/tasks/neighbours.yml")},
        ],
    }
]


@dataclass
class Inventories:
    """The task on the hosts of an inventory, with what is seen of each in place of a look."""

    folder: Path

    def refused(self, inventory: str, **variables: Any) -> str:
        """What the task says, with all white space as one blank; nothing when all hosts pass."""
        done = self.run(inventory, PLAY, variables)
        said = " ".join(done.stdout.split()).replace("''", "'")
        assert (done.returncode == 0) == ("Nothing was changed." not in said), done.stdout + done.stderr
        return said if done.returncode else ""

    def values(
        self, inventory: str, names: list[str], seen: dict[str, Any], **variables: Any
    ) -> dict[str, Any]:
        """What variables of the first host come to."""
        written = self.folder / "values.json"
        value = "{{ dict(names | zip(names | map('extract', vars))) | to_json }}"
        copy = {"content": value, "dest": str(written), "mode": "0644"}
        tasks = [PLAY[0]["tasks"][0], {"ansible.builtin.copy": copy, "run_once": True}]
        done = self.run(inventory, [{**PLAY[0], "tasks": tasks}], {**variables, "seen": seen, "names": names})
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(written.read_text()))

    def run(
        self, inventory: str, plays: list[dict[str, Any]], variables: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        playbook = self.folder / "play.yml"
        playbook.write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
        words = ["--inventory", f"inventory/{inventory}", "--extra-vars", json.dumps(variables)]
        return subprocess.run(
            [ANSIBLE_PLAYBOOK, *words, playbook],
            cwd=REPOSITORY,
            env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def inventories(tmp_path: Path) -> Inventories:
    (tmp_path / "group_vars").symlink_to(REPOSITORY / "playbooks/group_vars")
    return Inventories(tmp_path)


@pytest.mark.parametrize("inventory", ["lab", "fleet", "production"])
def test_bare_hosts_of_an_inventory_pass(inventories: Inventories, inventory: str) -> None:
    assert inventories.refused(inventory, seen=facts()) == ""


def test_each_host_is_asked_for_what_it_is_to_be(inventories: Inventories) -> None:
    listeners = [{**APACHE, "port": port} for port in (80, 2514, 5432, 8443, 9145)]

    said = inventories.refused(
        "fleet",
        seen=facts(listeners=listeners, postgresql_clusters=[FOREIGN], all_ipv4_addresses=["10.0.0.5"]),
    )

    by_host = {name: said.partition(f"fatal: [{name}]")[2].partition("Nothing was changed.")[0] for name in
               ("edge-1", "app-1", "db-1", "logs-1")}  # fmt: skip
    ports = {name: [port for port in ("80", "2514", "5432", "8443", "9145") if f"listens on *:{port}," in text]
             for name, text in by_host.items()}  # fmt: skip
    # Who sends log lines has a tunnel at the port where the logs host takes them.
    assert ports == {
        "edge-1": ["80", "2514"],
        "app-1": ["2514", "8443", "9145"],
        "db-1": ["2514", "5432"],
        "logs-1": ["2514"],
    }
    assert [name for name, text in by_host.items() if "crm" in text] == ["db-1"]
    assert all("slipway_address is 10.83.7." in text for text in by_host.values())


def test_what_may_be_taken_over_is_what_the_roles_variables_say(inventories: Inventories) -> None:
    variables = (
        "nginx_takeover",
        "postgresql_takeover",
        "rsyslog_takeover",
        "base_deploy_takeover",
        "app_users_takeover",
    )
    seen = facts(
        nginx_foreign=["/etc/nginx/sites-enabled/blog"],
        postgresql_clusters=[FOREIGN],
        users={"deploy": HUMAN, "shop": HUMAN},
        rsyslog_foreign={"/etc/rsyslog.conf": ["$UDPServerRun 514"]},
        journal={"bytes": 2 << 30, "days": 90},
    )  # fmt: skip

    said = inventories.refused("lab", seen=seen)

    assert all(f"{name}: true" in said for name in variables), said
    assert inventories.refused("lab", seen=seen, **dict.fromkeys(variables, True)) == ""


def test_the_defaults_that_are_repeated_are_the_roles() -> None:
    text = (REPOSITORY / "playbooks/tasks/neighbours.yml").read_text(encoding="utf-8")
    defaults: dict[str, Any] = {}
    for role in ("nginx", "postgresql", "rsyslog", "base", "app"):
        defaults |= repository.defaults(role)
    repeated = {
        match[1]: yaml.safe_load(match[2]) for match in re.finditer(r"(\w+) \| default\(([^()]+)\)", text)
    }
    repeated = {
        name: value for name, value in repeated.items() if name in defaults and value != "slipway_address"
    }

    assert repeated == {name: defaults[name] for name in repeated}
    assert len(repeated) == 18


@pytest.mark.parametrize(
    ("reached_at", "own", "names"),
    [
        ("10.0.0.5", "10.0.0.5", ["10.0.0.5"]),
        ("10.0.0.6", "10.0.0.6", ["10.0.0.6"]),
        ("198.51.100.7", "10.0.0.5", ["198.51.100.7", "10.0.0.5"]),
        ("shop-1", "10.0.0.5", ["shop-1", "10.0.0.5"]),
    ],
    ids=["its own", "its second one", "behind NAT", "by a name"],
)
def test_one_hosts_address_is_its_own_and_it_answers_to_what_it_is_reached_by(
    inventories: Inventories, reached_at: str, own: str, names: list[str]
) -> None:
    seen = facts(all_ipv4_addresses=["10.0.0.5", "10.0.0.6"], default_ipv4={"address": "10.0.0.5"})

    said = inventories.values("lab", ["slipway_address", "nginx_server_names"], seen, ansible_host=reached_at)

    assert said == {"slipway_address": own, "nginx_server_names": names}


def test_in_a_fleet_no_address_is_guessed(inventories: Inventories) -> None:
    seen = facts(all_ipv4_addresses=["10.0.0.5"], default_ipv4={"address": "10.0.0.5"})

    said = inventories.values("fleet", ["slipway_address"], seen, ansible_host="198.51.100.7")

    assert said == {"slipway_address": "198.51.100.7"}
