"""Packages that are there cost nothing; a version that is not the expected one is refused, never replaced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import Outcome, load_plugin, play

FACTS = {
    "nginx": "1.18.0-6ubuntu14.4",
    "postgresql-14": "14.9-0ubuntu0.22.04.1",
    "postgresql-15": "15.4-1",
}
ABSENT = "slipway-test-package-that-nobody-has"
CASES: dict[str, dict[str, Any]] = {
    "installed": {"packages": ["nginx", "postgresql-14"], "versions": {"postgresql-14": "14.*"}},
    "nothing": {"packages": []},
    "wrong": {
        "packages": ["nginx", "postgresql-14"],
        "versions": {"postgresql-14": "15.*", "nginx": "1.18.*"},
    },
    "unknown": {"packages": ["nginx"], "latest": True},
}


def case(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "host_packages": arguments, "when": f"inventory_hostname == '{name}'"}


@pytest.fixture(scope="module")
def without_a_host(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Every case on a host with facts and no usable Python: whatever needs a round trip fails there."""
    tasks = [case(name, arguments) for name, arguments in CASES.items()]
    return play(
        tmp_path_factory.mktemp("packages"),
        [{"name": "Facts", "ansible.builtin.set_fact": {"packages": FACTS, "cacheable": True}}, *tasks],
        hosts=",".join(CASES),
        ansible_python_interpreter="/nonexistent/python3",
    )


@pytest.mark.parametrize("name", ["installed", "nothing"])
def test_installed_packages_cost_no_round_trip(without_a_host: Outcome, name: str) -> None:
    result = without_a_host.result(name)

    assert not result["failed"], without_a_host.printed
    assert not result["changed"]
    assert result["installed"] == []


def test_a_wrong_installed_version_is_refused_with_both(without_a_host: Outcome) -> None:
    assert without_a_host.sentence("wrong") == (
        "This host has postgresql-14 14.9-0ubuntu0.22.04.1 (expected 15.*) installed already. Slipway does not "
        "replace an installed version by itself; nothing was changed. Upgrade it by hand, or change the expected "
        "version in the inventory."
    )


def test_an_unknown_argument_is_a_sentence(without_a_host: Outcome) -> None:
    assert "host_packages does not know latest." in without_a_host.sentence("unknown")


def test_without_facts_it_says_what_has_to_run_first(tmp_path: Path) -> None:
    outcome = play(tmp_path, [case("bare", {"packages": ["nginx"]})], hosts="bare")

    assert "host_packages needs host_facts to have run on this host." in outcome.sentence("bare")


def test_on_this_machine_what_is_missing_is_named_and_an_archive_without_it_is_refused(
    tmp_path: Path,
) -> None:
    outcome = play(
        tmp_path,
        [
            {"name": "Facts", "host_facts": {"app": "shop"}},
            {"name": "there", "host_packages": {"packages": ["dpkg"], "versions": {"dpkg": "1.*"}}},
            {"name": "check", "host_packages": {"packages": ["dpkg", ABSENT]}, "check_mode": True},
            {"name": "refused", "host_packages": {"packages": [ABSENT], "versions": {ABSENT: "9.*"}}},
        ],
    )

    assert not outcome.result("there")["changed"], outcome.printed
    assert outcome.result("check")["changed"]
    assert outcome.result("check")["installed"] == [ABSENT]
    assert f"{ABSENT} 9.* is expected, but no archive of this host offers it. Asked: " in outcome.sentence(
        "refused"
    )
    assert "Nothing was installed." in outcome.sentence("refused")


@pytest.mark.parametrize(("start", "policy"), [({}, None), ({"start": True}, None), ({"start": False}, 101)])
def test_a_package_starts_its_daemon_unless_a_later_task_does(
    start: dict[str, Any], policy: int | None
) -> None:
    """policy-rc.d is put there for the moment of the installation, by Ansible's own module."""
    asked: list[dict[str, Any]] = []
    plugin = load_plugin("action/host_packages").ActionModule
    action = object.__new__(plugin)
    action._task = SimpleNamespace(args={"packages": ["nginx"], **start})

    def execute(**arguments: Any) -> dict[str, Any]:
        asked.append(arguments["module_args"])
        return {"changed": True}

    action._execute_module = execute
    action._install(["nginx"], {}, {})

    assert asked[0].get("policy_rc_d") == policy
