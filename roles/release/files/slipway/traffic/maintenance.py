"""`slipway maintenance`: nginx answers for the service while a file is there, which it looks for at every request."""

from __future__ import annotations

import json
from typing import Any

from slipway.clock import utc_now
from slipway.errors import RefusedError
from slipway.files import fsync_directory, remove, write_atomically
from slipway.host import Host
from slipway.turns.session import Report, Session

MESSAGE = "The service is being maintained; try again in a minute."
# nginx puts in what is the request's own (its SSI filter), where every problem has it.
OWN = '<!--# echo var="slipway_{}" encoding="none" default="" -->'


def read(host: Host) -> dict[str, Any] | None:
    """{since, message}; None when there is no maintenance."""
    try:
        said = json.loads(host.maintenance.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        said = None
    return {"since": None, "message": None, **(said if isinstance(said, dict) else {})}


def maintenance(session: Session, on: bool, message: str | None) -> Report:
    """message: what the service's users are told; it stands in the answer, so it names no secret."""
    if message is not None and not on:
        raise RefusedError("usage", "--message says why maintenance is on; off takes none.")
    found = read(session.host)
    message = message or MESSAGE
    as_asked = found is not None and found["message"] == message if on else found is None
    if as_asked and not session.journal.broken_off("maintenance"):
        word = "on" if on else "off"
        return Report(False, _result(session.host), f"Maintenance is {word} already; nothing was changed.")
    with session.journal.step("maintenance", on=on, message=message if on else None):
        if on:
            # The answer before the flag: nginx never looks for one that is not there.
            write_atomically(_answer_path(session.host), _answer(message))
            flag = {"since": utc_now(), "message": message}
            write_atomically(session.host.maintenance, json.dumps(flag).encode() + b"\n")
        else:
            remove(session.host.maintenance)
            fsync_directory(session.host.maintenance.parent)
    return Report(True, _result(session.host), f"Maintenance is {'on' if on else 'off'}.")


def _result(host: Host) -> dict[str, Any]:
    found = read(host)
    return {"on": found is not None, **(found or {"since": None, "message": None})}


def _answer_path(host: Host) -> Any:
    return host.maintenance.with_suffix(".json")


def _answer(message: str) -> bytes:
    """The problem nginx answers with. `<` is written as JSON's escape: nothing in the message is for the SSI filter."""
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": message,
        "code": "maintenance",
        "message": message,
        "details": None,
    }
    text = json.dumps(problem, ensure_ascii=True).replace("<", "\\u003c")
    own = "".join(f', "{name}": "{OWN.format(name)}"' for name in ("instance", "request_id"))
    return f"{text[:-1]}{own}}}".encode()
