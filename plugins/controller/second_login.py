"""Prove an armed change of the way in by a login of its own, the controller's side of slipway_files/guard.py.

The confirmation is what the new login carries: it comes the way the inventory says (user, port, jump host,
sudo), shares no connection with the run, and where it does not arrive the host gives back what stood before.
"""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError

# An sshd that was told to read its settings anew needs a moment; the host has its timer for longer.
PROVE_SECONDS = 25
# From the last try on: the host's timer has run out by then, and what it gives back is in force.
BACK_SECONDS = 60
ALONE = "-o ControlMaster=no -o ControlPath=none -o ConnectTimeout=8 -o ServerAliveInterval=4 -o ServerAliveCountMax=2"
# What a run may come by and be proven: local is a run on the host itself, which only sudo could keep out.
TRANSPORTS = ("ssh", "ansible.builtin.ssh", "local", "ansible.builtin.local")

Ask = Callable[[dict[str, Any]], dict[str, Any]]


def refuse_another_transport(action: Any) -> None:
    """Raise where no new connection could be made by this connection plugin."""
    name = action._connection.ansible_name or action._connection.transport
    if name not in TRANSPORTS:
        raise AnsibleActionFail(
            f"A change of the way in is proven by a second login, which Slipway makes with ssh and not with {name}. "
            "Nothing was changed: take ansible_connection out of the inventory."
        )


def stated(action: Any, payload: dict[str, Any], guard: dict[str, Any], ask: Ask) -> dict[str, Any]:
    """The module's result; what it armed was proven, or this raises.

    ask: run the module with a payload, over the connection that `action` has at that moment.
    """
    refuse_another_transport(action)
    token = secrets.token_hex(8)
    result = ask({**payload, "guard": {**guard, "token": token}})
    if result.get("armed"):
        empty = {**payload, "files": [], "directories": [], "links": []}
        removed = list(result["removed"])
        prove(action, payload["name"], token, removed, lambda how: ask({**empty, "decide": how}))
    return result


def prove(action: Any, name: str, token: str, removed: list[str], ask: Ask) -> None:
    """Let the armed change stay, or raise with what came of it."""
    decision = {"token": token, "take_back": False, "removed": removed}
    shared = action._connection
    action._connection = alone(shared)
    try:
        answer, why = _answered(ask, decision, PROVE_SECONDS)
        if answer.get("stays"):
            return
        if answer:
            raise AnsibleActionFail(
                f"The change of the set {name} was not proven in time, and the host took it back: it is as it "
                "was before."
            )
        action._connection = shared
        _answered(ask, {**decision, "take_back": True}, 0)
        action._connection = alone(shared)
        # It answers only who comes in by the old way, and says whether the change is still there.
        back, _ = _answered(ask, {**decision, "take_back": True}, BACK_SECONDS)
    finally:
        action._connection = shared
    state = (
        "The host gave back what stood before, and a new login works again."
        if back
        else f"No new login has worked in {BACK_SECONDS} s since. The host gives back what stood before by itself; "
        "where it does not, its console does: sh /var/lib/slipway/guard/take-back now (docs/runbooks/locked-out.md)."
    )
    raise AnsibleActionFail(
        f"The set {name} was put in force and no second login by a new connection came in, so it would have locked "
        f"you out: {why} {state} Mend the inventory and run again."
    )


def alone(connection: Any) -> Any:
    """The same way in, as a connection that shares nothing with the run's."""
    fresh = copy.copy(connection)
    if connection.transport == "ssh":
        fresh._options = dict(connection._options)
        # ssh takes the first of two settings.
        fresh._options["ssh_args"] = f"{ALONE} {connection.get_option('ssh_args') or ''}"
        fresh._options["reconnection_retries"] = 0
        fresh.control_path = fresh.control_path_dir = None
    return fresh


def _answered(ask: Ask, decision: dict[str, Any], seconds: float) -> tuple[dict[str, Any], str]:
    """The module's answer, asked for until it comes or the time is over; then nothing, and why."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask(decision)
            if not answer.get("failed") and "stays" in answer:
                return answer, ""
            why = str(answer.get("msg") or answer.get("module_stderr") or answer)
        except AnsibleError as error:
            why = str(error)
        if time.monotonic() >= deadline:
            return {}, " ".join(why.split())[:400].rstrip(".") + "."
        time.sleep(1)
