"""Environments: read from inventories without a secret, kept until a file changes, refused in sentences."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fabfile.errors import RefusedError
from fabfile.hosts import environment
from fabfile.hosts.environment import load
from fabfile.hosts.variables import Variables

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["lab", "fleet", "staging", "production"])
def test_every_inventory_of_the_repository_is_an_environment(name: str) -> None:
    found = load(name)
    assert found.kind == ("lab" if name in ("lab", "fleet") else name)
    assert {host.user for host in found.app_hosts} == {"deploy"}
    assert found.public.ca is not None
    assert found.budget.of_one_release > 0


@pytest.mark.parametrize(
    "name",
    ["-oProxyCommand=touch /tmp/x", "../../etc", "lab;rm", "$(id)", "LAB", "lab\nfleet", "nowhere", "ümlaut"],
)
def test_what_is_no_environment_is_refused_with_those_there_are(name: str) -> None:
    others = r", (\S+, )*"
    with pytest.raises(
        RefusedError, match=rf"Choose one of (\S+, )*{others.join(('fleet', 'lab', 'production'))}, "
    ):
        load(name)


def test_the_environment_is_the_one_asked_for_else_of_the_shell_else_the_lab(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLIPWAY_ENV", raising=False)
    assert environment.chosen("") == "lab"
    monkeypatch.setenv("SLIPWAY_ENV", "staging")
    assert environment.chosen("") == "staging"
    assert environment.chosen("fleet") == "fleet"


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT / "inventory/production", tmp_path / "site")
    return tmp_path


def test_encrypted_files_are_not_needed(inventories: Path) -> None:
    (inventories / "site/group_vars/all/vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    assert load("site", inventories).kind == "production"


def test_a_changed_file_is_seen_at_once(inventories: Path) -> None:
    before = load("site", inventories)
    with (inventories / "site/group_vars/all/main.yml").open("a") as file:
        file.write("deploy_warm_seconds: 60\nansible_port: 2222\n")
    after = load("site", inventories)
    assert (before.policy.warm, after.policy.warm) == (600.0, 60.0)
    assert {host.port for host in after.app_hosts} == {2222}


@pytest.mark.parametrize(
    ("said", "python"), [("''", ""), ("python3.11", "3.11"), ("/opt/python/bin/python3.12", "3.12")]
)
def test_the_python_of_releases_is_the_inventorys(inventories: Path, said: str, python: str) -> None:
    with (inventories / "site/group_vars/all/main.yml").open("a") as file:
        file.write(f"app_python: {said}\n")
    assert load("site", inventories).python == python


def test_an_inventory_without_app_hosts_is_refused(inventories: Path) -> None:
    (inventories / "site/hosts.yml").write_text("---\nedge: {hosts: {e: }}\ndb: {hosts: {e: }}\n")
    with pytest.raises(RefusedError, match="no host in the group app"):
        load("site", inventories)


@pytest.mark.parametrize("group", ["", "db: {}\n", "db: {hosts: {}}\n"])
def test_an_inventory_may_have_no_host_for_a_database(inventories: Path, group: str) -> None:
    (inventories / "site/hosts.yml").write_text(
        f"---\napp: {{hosts: {{a: }}}}\nedge: {{hosts: {{a: }}}}\n{group}"
    )
    found = load("site", inventories)
    assert not found.has_database
    assert found.budget.max_connections > 0
    with pytest.raises(RefusedError, match="has no host in the group db"):
        environment.host_of("site", "db", inventories)


def test_a_variable_that_only_ansible_can_read_is_named(inventories: Path) -> None:
    with (inventories / "site/group_vars/all/main.yml").open("a") as file:
        file.write("deploy_gate_seconds: \"{{ lookup('ansible.builtin.pipe', 'touch /tmp/x') }}\"\n")
    with pytest.raises(
        RefusedError, match=r"The variable deploy_gate_seconds of .* cannot be read for a deploy"
    ):
        load("site", inventories)


def test_variables_refer_to_each_other_and_to_other_hosts() -> None:
    listed = {
        "_meta": {
            "hostvars": {
                "a": {"one": "{{ two }}-{{ inventory_hostname }}", "two": "{{ hostvars['b'].three }}"},
                "b": {"three": "{{ groups['all'] | length }}", "circle": "{{ circle }}"},
            }
        },
        "all": {"children": ["app"]},
        "app": {"hosts": ["a", "b"]},
    }
    variables = Variables(listed, Path("inventory/none"))
    assert variables.of("a", "one") == "2-a"
    with pytest.raises(RefusedError, match="circle"):
        variables.of("b", "circle")
    with pytest.raises(RefusedError, match="gives b no missing"):
        variables.of("b", "missing")
