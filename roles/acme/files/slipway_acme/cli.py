"""acme: `renew`, which the timer runs, and `look`, which site.yml asks first."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slipway_acme import asking, lineage, live
from slipway_acme.errors import AcmeError
from slipway_acme.settings import Settings, read

LOCK = lineage.FOLDER / ".slipway.lock"
RUNBOOK = "docs/runbooks/certificate-not-renewed.md"


def main(words: Sequence[str] | None = None) -> int:
    """0 when the names are served what the authority gave; 1 after a sentence that says why not."""
    parser = argparse.ArgumentParser(prog="acme", description=__doc__)
    parser.add_argument("--app", required=True, help="the service whose public names these are")
    parser.add_argument("what", choices=["renew", "look"])
    given = parser.parse_args(words)
    try:
        settings = read(given.app)
        if given.what == "look":
            print(json.dumps(look(settings)))
        else:
            print(renew(settings))
    except AcmeError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def look(settings: Settings) -> dict[str, Any]:
    """{waits: why `renew` would do something, or ""; said: how it ended last, or ""}. Asks nobody else."""
    waits = lineage.why_ask(settings, time.time())
    if not waits and not _stands(settings):
        waits = f"{settings.certificate} has another one"
    return {"waits": waits, "said": _recorded(settings).get("said", "")}


def renew(settings: Settings) -> str:
    """Ask the authority where it is time, put what it gave in place; what was done. Raises AcmeError."""
    try:
        with _turn():
            said = _renewed(settings)
    except AcmeError as problem:
        sentence = (
            f"{problem} What {settings.names[0]} is served stays as it was. Mend that, then: "
            f"systemctl start {settings.unit} ({RUNBOOK})"
        )
        _record(settings, ok=False, said=sentence)
        raise AcmeError(sentence) from problem
    _record(settings, ok=True, said=said)
    return said


def _renewed(settings: Settings) -> str:
    why = lineage.why_ask(settings, time.time())
    failure = None
    if why:
        _count(settings)
        try:
            asking.ask(settings)
        except AcmeError as problem:
            failure = problem
    # What is kept may be good, and not served yet.
    put = (failure is None or lineage.fit(settings)) and live.put_in_place(settings)
    if failure:
        raise failure
    if why:
        return f"{settings.names[0]} is served a new certificate of {settings.directory}: {why} was why."
    served = "what was kept" if put else "what it was"
    return f"{settings.names[0]} is served {served}; {settings.directory} was not asked."


def _stands(settings: Settings) -> bool:
    chain, key = lineage.files(settings)
    try:
        return settings.certificate.read_bytes() == chain.read_bytes() + key.read_bytes()
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """One at a time on a host, whichever service's: certbot refuses a second one, and this waits for the first."""
    try:
        stream = open(LOCK, "w", encoding="utf-8")  # noqa: SIM115  (closed below: opening alone may fail)
    except OSError as problem:
        raise AcmeError(f"{LOCK} could not be opened: {problem.strerror}.") from problem
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _recorded(settings: Settings) -> dict[str, Any]:
    try:
        said = json.loads(settings.record.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _count(settings: Settings) -> None:
    """How often the authority was asked: it counts, too."""
    _write(settings, {**_recorded(settings), "asked": int(_recorded(settings).get("asked", 0)) + 1})


def _record(settings: Settings, ok: bool, said: str) -> None:
    _write(settings, {**_recorded(settings), "at": time.time(), "ok": ok, "said": said})


def _write(settings: Settings, record: dict[str, Any]) -> None:
    new = Path(f"{settings.record}.new")
    try:
        settings.record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(new, settings.record)
    except OSError as problem:
        raise AcmeError(f"{settings.record} could not be written: {problem.strerror}.") from problem
