"""What a service says of itself in its pyproject.toml, by the rules that the hosts' slipway has too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from fabfile.bundle.host_rules import declaration_rules as rules
from fabfile.errors import BuildError

PYPROJECT = "pyproject.toml"


@dataclass(frozen=True)
class Understood:
    """app: what the service is called. declared: `[tool.slipway]`, checked."""

    app: str
    declared: dict[str, Any]


def understood(service: Path) -> Understood:
    """Raises BuildError where nothing says what is to be started; a service of before is known by its migrations/."""
    said = declared(service)
    if "application" not in said and not (service / "migrations/versions").is_dir():
        raise BuildError(
            f"{service.name}/{PYPROJECT} does not say what is to be started, and there is no migrations/versions/, by "
            'which one of before is known. [tool.slipway] application = "package.module:attribute". Nothing was built.'
        )
    return Understood(app_name(service), said)


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
