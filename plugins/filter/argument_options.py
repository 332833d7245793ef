"""The options that roles document, as one specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

# Switched by `-e NAME=true`, as Slipway's own sentences say; whoever reads them takes a word for what it says.
WORDS = ("_restart_allowed", "_takeover")
ROLES = Path(__file__).parent.parent.parent / "roles"


def argument_options(roles: list[str]) -> dict[str, Any]:
    """{variable: its option} of all the roles' entry point `main`; validating them together costs one task."""
    found: dict[str, Any] = {}
    for role in roles:
        specification = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
        found |= specification["argument_specs"]["main"]["options"]
    return found


def argument_switches(roles: list[str]) -> list[str]:
    """The variables of the roles that are yes or no, but those that a run's own words may switch."""
    options = argument_options(roles)
    return sorted(
        name for name, option in options.items() if option["type"] == "bool" and not name.endswith(WORDS)
    )


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"argument_options": argument_options, "argument_switches": argument_switches}
