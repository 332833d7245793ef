"""How every task ends: a FabError becomes its sentences and its exit code; the wish is checked before any SSH."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke import Exit

from fabfile.errors import FabError, RefusedError
from fabfile.hosts import environment
from fabfile.hosts.environment import Environment

RELEASE_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}")
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,200}")
TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/#:-]{0,79}")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
BATCH = re.compile(r"[1-9][0-9]{0,3}|(100|[1-9][0-9]?)%")
SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9])?")
# Up to a day.
LONG = re.compile(r"[1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400")
SINCE = re.compile(r"[0-9]{1,4}[mhd]|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@contextmanager
def sentences() -> Iterator[None]:
    """Ends the command with a FabError's sentences and exit code instead of a traceback."""
    try:
        yield
    except FabError as failure:
        raise Exit(str(failure), code=failure.exit_code) from None
    except KeyboardInterrupt:
        raise Exit(
            "Interrupted. What a host was asked to do it ends by itself: fab status", code=130
        ) from None
    except Exit:
        raise
    except Exception as failure:
        if os.environ.get("SLIPWAY_TRACEBACK"):
            raise
        raise Exit(
            f"A fault in fab itself: {type(failure).__name__}: {failure}. What was done on hosts is in their journals: "
            "fab status, fab audit. SLIPWAY_TRACEBACK=1 shows where it happened.",
            code=1,
        ) from failure


def checked(what: str, text: str, pattern: re.Pattern[str], looks_like: str) -> str:
    """The text when it is empty or has its form. Raises RefusedError before anything is asked of a host."""
    if text and not pattern.fullmatch(text):
        raise RefusedError(f"{text!r} is not {what}; one looks like {looks_like}. Nothing was changed.")
    return text


def release_id(text: str) -> str:
    return checked("a release id", text, RELEASE_ID, "20261122T160501Z-3f2a9c1")


def bundle(path: str) -> Path:
    """The file of a bundle. Raises RefusedError when there is none."""
    if not Path(path).is_file():
        raise RefusedError(f"{path!r} is no file. Build a bundle with: fab build. Nothing was changed.")
    return Path(path)


def hosts(text: str) -> list[str]:
    return [checked("a host", name, HOST, "app-1") for name in text.split(",") if name]


def chosen(env: str, yes: bool = True, doing: str = "") -> Environment:
    """The environment; production has to be meant: --yes, or its name typed on a terminal."""
    found = environment.load(environment.chosen(env))
    if found.kind == "production" and not yes:
        _confirm(found, doing)
    return found


def agreed(question: str, yes: bool) -> None:
    """Ask on a terminal, unless --yes says so already. Raises RefusedError for anything but a yes."""
    if not yes and sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise RefusedError("Nothing was changed.")


def _confirm(found: Environment, doing: str) -> None:
    refusal = f"{doing} on {found.name}, which is production, needs --yes, or its name typed here."
    if not sys.stdin.isatty():
        raise RefusedError(f"{refusal} Nothing was changed.")
    if input(f"{refusal}\n{doing} on: ").strip() != found.name:
        raise RefusedError("Nothing was changed.")
