"""Which services this host runs, and which of them is meant: one has its settings in /etc/slipway/<its name>."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from slipway.errors import RefusedError, StepError
from slipway.host import RELEASE_ID, Host

FOLDER = "/etc/slipway"
NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")


def listed(root: Path = Path("/")) -> list[str]:
    """Their names."""
    found = (path.parent.name for path in (root / FOLDER.lstrip("/")).glob("*/release.conf"))
    return sorted(name for name in found if NAME.fullmatch(name))


def chosen(asked: str | None, words: Sequence[str], root: Path = Path("/")) -> str:
    """The service that is meant: the one asked for, the only one, or the one that has the release that words name.

    Raises RefusedError where it is not clear, StepError where this host has none.
    """
    found = listed(root)
    # Metrics are told on every host of a service, also where no release of it is.
    if (
        words[:1] == ["metrics"]
        and asked
        and NAME.fullmatch(asked)
        and (root / FOLDER.lstrip("/") / asked).is_dir()
    ):
        return asked
    if not found:
        raise StepError(
            "settings-missing",
            f"{FOLDER} does not say which service this host runs. Run site.yml, which writes it.",
        )
    if asked is not None and asked not in found:
        raise RefusedError(
            "no-such-service", f"{asked!r} is no service of this host, which has {', '.join(found)}."
        )
    with_it = [name for name in found if _has_one_of(Host(name, root), words)]
    if asked is None and len(found) > 1 and len(with_it) != 1:
        raise RefusedError(
            "which-service",
            f"This host has several services, {' and '.join(found)}, and it was not said which is meant.",
            f"Say it first: slipway --app={found[0]} {words[0] if words else 'status'}",
        )
    return asked or (found if len(found) == 1 else with_it)[0]


def split(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The service that is asked for ahead of the command, and the words from the command on."""
    if words[:1] == ["--app"] and len(words) > 1:
        return words[1], list(words[2:])
    if words and words[0].startswith("--app="):
        return words[0].partition("=")[2], list(words[1:])
    return None, list(words)


def _has_one_of(host: Host, words: Sequence[str]) -> bool:
    return any(host.release(word).is_dir() for word in words if RELEASE_ID.fullmatch(word))
