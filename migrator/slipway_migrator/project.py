"""What a service says of itself: `[tool.slipway]` of its pyproject, or the manifest that its release carries."""

import importlib
import json
import logging.config
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.config import Config

from slipway_migrator.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST, PYPROJECT, INI = "manifest.json", "pyproject.toml", "alembic.ini"
# What an env.py may be given under names of its own: see variables.py.
PARTS = ("url", "host", "address", "port", "name", "user", "password", "ca")
CREDENTIAL = "credential:"
TEXTS = ("name", "migrations", "backfills", "schema", "environment_prefix", "driver")


@dataclass(frozen=True)
class Project:
    """One service. folder: of its pyproject, or of its release.

    migrations: Alembic's script_location in a release, "package:folder" or a path below the folder; None when
    only Alembic's own configuration says it. backfills: "module:name" of what it declares. environment: the
    variables that its env.py reads, each with one of PARTS, or the name of a credential after CREDENTIAL.
    driver: of the database's address.
    """

    folder: Path
    name: str
    schema: str
    environment_prefix: str
    migrations: str | None = None
    backfills: str | None = None
    driver: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_released(self) -> bool:
        """Whether the folder is a release's, which has neither a pyproject nor an alembic.ini."""
        return (self.folder / MANIFEST).is_file()


def here() -> Path:
    """The release that this process's environment belongs to, wherever it was started; else the present folder."""
    release = Path(sys.prefix).parent
    return release if (release / MANIFEST).is_file() else Path()


def load(folder: Path) -> Project:
    """What the release or the checkout in folder says. Raises ConfigurationError."""
    manifest, pyproject = folder / MANIFEST, folder / PYPROJECT
    try:
        if manifest.is_file():
            said = json.loads(manifest.read_text(encoding="utf-8"))
            table, name = said.get("service") or {}, said.get("app")
        elif pyproject.is_file():
            said = tomllib.loads(pyproject.read_text(encoding="utf-8"))
            table, name = said.get("tool", {}).get("slipway", {}), said.get("project", {}).get("name")
        else:
            raise ConfigurationError(
                f"There is no {PYPROJECT} and no {MANIFEST} in {folder}: go to the service's folder, or name it "
                "with --project."
            )
    except (OSError, ValueError, AttributeError) as failure:
        raise ConfigurationError(
            f"What the service says of itself in {folder} cannot be read: {failure}"
        ) from None
    return _project(folder, table, name)


def _project(folder: Path, table: Any, name: object) -> Project:
    if not isinstance(table, dict):
        raise ConfigurationError("[tool.slipway] is not a table.")
    name = table.get("name") or name
    wrong = [
        f"[tool.slipway] {key} is {table[key]!r}: it must be text."
        for key in TEXTS
        if _is_no_text(table, key)
    ]
    environment = table.get("environment", {})
    if not isinstance(environment, dict) or not all(map(_is_a_part, environment.values())):
        wrong.append(
            f"[tool.slipway] environment must say for each variable which it is of {', '.join(PARTS)}, or "
            f"{CREDENTIAL}NAME."
        )
    if not isinstance(name, str):
        wrong.append("The service has no name: [tool.slipway] name, or [project] name.")
    if wrong:
        raise ConfigurationError(*wrong)
    word = str(name).replace("-", "_")
    known = {key: table[key] for key in ("migrations", "backfills", "driver") if key in table}
    return Project(
        folder,
        str(name),
        table.get("schema", word),
        table.get("environment_prefix", f"{word.upper()}_"),
        environment=environment,
        **known,
    )


def _is_a_part(part: object) -> bool:
    return isinstance(part, str) and (part in PARTS or part.startswith(CREDENTIAL))


def _is_no_text(table: Mapping[str, Any], key: str) -> bool:
    return key in table and not (isinstance(table[key], str) and table[key])


def alembic_config(project: Project) -> Config:
    """Alembic's own configuration in a checkout, what `migrations` says in a release. Raises ConfigurationError."""
    ini, pyproject = project.folder / INI, project.folder / PYPROJECT
    config = Config()
    if not project.is_released and (
        ini.is_file() or "[tool.alembic]" in pyproject.read_text(encoding="utf-8")
    ):
        config = Config(str(ini) if ini.is_file() else None, toml_file=str(pyproject))
        # Read now; an env.py that is told no file leaves this process's logging as it is.
        _ = config.file_config
        config.config_file_name = None
    elif project.migrations is not None:
        config.set_main_option("script_location", _location(project).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
    else:
        raise ConfigurationError(
            'The service does not say where its migrations are: [tool.slipway] migrations = "package:folder".'
        )
    if str(project.folder) not in sys.path and not project.is_released:
        sys.path.insert(0, str(project.folder))
    logging.config.fileConfig = _where_there_is_one(logging.config.fileConfig)
    return config


def _where_there_is_one(configure: Callable[..., None]) -> Callable[..., None]:
    """An env.py of Alembic before 1.7 reads its ini for logging without asking whether there is one."""

    def configured(name: Any, *words: Any, **said: Any) -> None:
        if name is not None:
            configure(name, *words, **said)

    return configured


def _location(project: Project) -> str:
    package, colon, _ = (project.migrations or "").partition(":")
    if not colon:
        return str(project.folder / package)
    try:
        importlib.import_module(package)
    except ImportError as failure:
        raise ConfigurationError(
            f"[tool.slipway] migrations names the package {package}: {failure}."
        ) from None
    return str(project.migrations)


def declared(project: Project) -> Any:
    """What `backfills` names, a mapping by name; empty when the service declares none. Raises ConfigurationError."""
    if project.backfills is None:
        return {}
    if not project.is_released and str(project.folder) not in sys.path:
        sys.path.insert(0, str(project.folder))
    module, _, name = project.backfills.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as failure:
        raise ConfigurationError(f"[tool.slipway] backfills is {project.backfills!r}: {failure}.") from None
