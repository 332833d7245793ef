"""What a host's slipway answered, found among whatever else its login shell prints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fabfile.errors import FabError

# A line of its own before the answer: a login shell may have printed something already.
MARKER = "slipway-answers-below"
# What a shell adds to the number of the signal that ended a command.
KILLED = 128
# What an earlier slipway, which knew one service a host, does not know.
WHICH = "--app="


class UnreachableError(FabError):
    """The host does not answer over SSH; what it serves goes on serving."""

    exit_code = 3


@dataclass(frozen=True)
class Answer:
    """What one command of slipway answered. code, message, details: of its error; code is "" when it went well."""

    command: str
    exit_code: int
    changed: bool = False
    result: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.code


def of(host: str, output: str, errors: str, status: int) -> list[Answer]:
    """The answers in what a command said, on its two outputs. Raises UnreachableError when there are none."""
    if status < 0:
        raise UnreachableError(f"{host} was lost over SSH: the connection ended before the answer.")
    try:
        # What a login shell prints stands before the marker; what it prints at its end, after the answer.
        said, _ = json.JSONDecoder().raw_decode(output.partition(MARKER)[2].strip() or output.strip())
        return [_answer(one, status) for one in (said if isinstance(said, list) else [said])]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _none(host, output, errors, status) from None


def _none(host: str, output: str, errors: str, status: int) -> UnreachableError:
    if status > KILLED:
        return UnreachableError(
            f"{host}: slipway was ended there by signal {status - KILLED} before it answered. What it had "
            "begun is in its journal, and what is served goes on being served. Type: fab recover"
        )
    shown = (errors.strip() or output.replace(MARKER, "").strip() or "nothing")[-2000:]
    return UnreachableError(
        f"{host} gave no answer of slipway's (status {status}), but: {shown}\n"
        "Whether anything was done there cannot be told from here; its journal has it: fab audit. Is the host "
        "configured, and by this version? Type: ansible-playbook -i inventory/ENV site.yml"
    )


def _answer(said: dict[str, Any], status: int) -> Answer:
    error = said.get("error")
    if error is None:
        return Answer(said["command"], 0, bool(said["changed"]), said["result"])
    if error["code"] == "usage" and f"unrecognized arguments: {WHICH}" in error["message"]:
        error["message"] = (
            "Its slipway is of an earlier Slipway, which knew one service a host. Nothing was changed. To bring them "
            "together: ansible-playbook -i inventory/ENV site.yml"
        )
    return Answer(
        said.get("command") or "",
        int(said.get("exit", status)),
        code=error["code"],
        message=error["message"],
        details=error.get("details") or {},
    )
