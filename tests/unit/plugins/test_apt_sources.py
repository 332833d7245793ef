"""Where packages come from, as the role writes it: the host's own sources stay when that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import REPOSITORY, Outcome, play


def sources(folder: Path, **variables: Any) -> Outcome:
    """The role, checked and rendered, for an Ubuntu that nobody else has said anything about."""
    role = {"name": str(REPOSITORY / "roles/apt_sources")}
    tasks = [
        {"name": "Know it", "ansible.builtin.set_fact": {"ansible_facts": "{{ seen }}"}},
        {
            "name": "Check",
            "ansible.builtin.include_role": {**role, "tasks_from": "preflight.yml", "public": True},
        },
        {"name": "Write", "ansible.builtin.include_role": {**role, "tasks_from": "configure.yml"}},
    ]
    seen = {"distribution": "Ubuntu", "distribution_major_version": "22", "architecture": "x86_64"}
    return play(
        folder, tasks, slipway_render_to=str(folder / "tree"), seen=seen, app_name="shop", **variables
    )


@pytest.mark.parametrize(("keep", "written"), [(False, True), (True, False)])
def test_a_clouds_own_mirror_stays_where_that_is_said(tmp_path: Path, keep: bool, written: bool) -> None:
    outcome = sources(tmp_path, apt_sources_keep=keep)

    assert outcome.status == 0, outcome.printed
    assert (tmp_path / "tree/etc/apt/apt.conf.d/90slipway").exists()
    assert (tmp_path / "tree/etc/apt/sources.list").exists() == written


def test_sources_that_stay_and_a_mirror_are_refused_together(tmp_path: Path) -> None:
    outcome = sources(tmp_path, apt_sources_keep=True, apt_sources_mirrors=["http://near.example/ubuntu"])

    assert outcome.status != 0
    said = " ".join(outcome.printed.replace("''", "'").split())
    assert "not of any use with apt_sources_keep, by which the host's own sources stay" in said
