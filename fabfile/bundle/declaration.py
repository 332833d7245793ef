"""What a service says of itself in its pyproject.toml, by the rules that the hosts' slipway has too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tomllib

from fabfile.errors import BuildError

sys.path.append(str(Path(__file__).parents[2] / "roles/release/files"))
# One place for the rules: what is built here is staged there.
from slipway.releases import declaration_rules as rules
from slipway.releases.declaration import Declaration as Declaration
from slipway.releases.declaration import Timer as Timer

PYPROJECT = "pyproject.toml"


def read(service: Path) -> dict[str, Any]:
    """Its pyproject.toml. Raises BuildError where it cannot be read."""
    path = service / PYPROJECT
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(
            f"{service} has no {PYPROJECT}: a service is a Python project. Nothing was built."
        ) from None
    except (OSError, ValueError, RecursionError) as failure:
        raise BuildError(f"{path} cannot be read: {failure}. Nothing was built.") from None


def declared(service: Path) -> dict[str, Any]:
    """`[tool.slipway]`, which its release's manifest carries; empty where there is none. Raises BuildError."""
    said = read(service).get("tool", {}).get("slipway", {})
    if wrong := rules.complaints(said):
        raise BuildError(f"[tool.slipway] of {service / PYPROJECT}: {'; '.join(wrong)}. Nothing was built.")
    return dict(said)


def app_name(service: Path) -> str:
    """What the service is called: `name` of [tool.slipway], else its project's. Raises BuildError without one."""
    said = read(service)
    name = said.get("tool", {}).get("slipway", {}).get("name") or said.get("project", {}).get("name")
    if not name:
        raise BuildError(
            f"{service / PYPROJECT} does not name its project; a release is called after it. Nothing was built."
        )
    if not isinstance(name, str) or not rules.APP_NAME.fullmatch(name):
        raise BuildError(
            f"The project of {service / PYPROJECT} is called {rules.shown(name)}: a service's name is small letters, "
            "digits and _, 24 at most, and begins with a letter. Another one than the project's is said by "
            '[tool.slipway] name = "…". Nothing was built.'
        )
    return name
