"""A host is refused for all that is wrong, in one message, before the first change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.plugins.ansible_run import play


def refuse(folder: Path, **arguments: Any) -> tuple[bool, str]:
    """Whether the host is refused, and what is said."""
    result = play(folder, [{"name": "Refuse", "refuse": arguments}]).result("Refuse")
    return bool(result.get("failed")), str(result.get("msg", ""))


def test_all_that_is_wrong_is_said_in_one_message_after_its_preface(tmp_path: Path) -> None:
    said = "The host has what is not ours. Port 80 is taken. The disk is full. Nothing was changed."
    sentences = ["Port 80 is taken.", "The disk is full."]

    assert refuse(tmp_path, preface="The host has what is not ours.", sentences=sentences) == (True, said)


def test_nothing_wrong_refuses_nothing_whatever_the_preface(tmp_path: Path) -> None:
    assert refuse(tmp_path, preface="The host has what is not ours.", sentences=[]) == (False, "")


def test_a_sentence_that_is_no_list_is_a_mistake_of_ours_and_says_so(tmp_path: Path) -> None:
    refused, said = refuse(tmp_path, sentences="Port 80 is taken.")

    assert refused
    assert "refuse takes sentences, a list of why" in said
