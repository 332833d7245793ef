"""Settings as an operator meets them: read from the process, refused in sentences."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from shop.settings import MIGRATORS, PREFIX, SECRETS, MigrationSettings, Settings

AnySettings = TypeVar("AnySettings", bound=MigrationSettings)

log = structlog.get_logger("shop.settings")


class ConfigurationError(Exception):
    """The settings cannot be used; `sentences` says why, one sentence a variable, no secret repeated."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def _name(field: str) -> str:
    return f"The credential {field}" if field in SECRETS else PREFIX + field.upper()


def _secrets_in(environ: Mapping[str, str]) -> list[str]:
    return [
        f"{PREFIX}{secret.upper()} is set in the environment, where other processes can read it: remove it "
        f"and put the value into the file {secret} of the credentials directory."
        for secret in sorted(SECRETS)
        if PREFIX + secret.upper() in environ
    ]


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """The names of `SHOP_` variables that this release does not know.

    They are told and not refused: after a rollback the settings file is a later release's.
    """
    known = {PREFIX + name for name in (*MIGRATORS, *(field.upper() for field in Settings.model_fields))}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def effective(settings: Settings) -> dict[str, Any]:
    """What is in force, ready for JSON: secrets only as set or not set, and the connections it amounts to."""
    shown = settings.model_dump(mode="json", exclude=set(SECRETS))
    secrets = {name: "set" if getattr(settings, name) else "not set" for name in SECRETS}
    return {**shown, **secrets, "connections": settings.connections}


def announce(settings: Settings) -> None:
    """Log what a worker starts with, and what it was given and does not know."""
    log.info("settings", **effective(settings))
    unknown = unknown_variables(os.environ)
    if unknown:
        log.warning("settings_unknown", variables=unknown)


def _sentences(error: ValidationError, model: type[MigrationSettings]) -> list[str]:
    sentences = []
    for problem in error.errors(include_url=False, include_input=False):
        if not problem["loc"]:
            sentences.append(str(problem["ctx"]["error"]))
            continue
        field = str(problem["loc"][0])
        # A group of settings that reads another's field declares it without one.
        rule = model.model_fields[field].description or MigrationSettings.model_fields[field].description
        name = _name(field)
        if problem["type"] == "missing":
            sentences.append(f"{name} is not set: it must be {rule}.")
        elif field in SECRETS:
            sentences.append(f"{name} cannot be used: it must be {rule}.")
        else:
            sentences.append(f"{name} is {os.environ.get(name, '')!r}: it must be {rule}.")
    return sentences


def _unreadable(directory: Path) -> str:
    """Which credential cannot be read, and why: what refused them all says neither."""
    for secret in sorted(SECRETS):
        try:
            if (directory / secret).exists():
                (directory / secret).read_text(encoding="utf-8")
        except OSError as failure:
            return f"{secret}, {failure.strerror}"
        except UnicodeDecodeError:
            return f"{secret} is no UTF-8 text"
    return ""


def load_settings(model: type[AnySettings]) -> AnySettings:
    """Read `model` from the environment and the credentials directory that systemd names.

    Raises ConfigurationError with one sentence for each variable that cannot be used.
    """
    sentences = _secrets_in(os.environ)
    directory = os.environ.get("CREDENTIALS_DIRECTORY") or None
    if directory is not None and not Path(directory).is_dir():
        sentences.append(
            f"CREDENTIALS_DIRECTORY is {directory!r}, which is not a directory that can be read."
        )
        raise ConfigurationError(sentences)
    try:
        settings = model()
    except ValidationError as error:
        raise ConfigurationError(sentences + _sentences(error, model)) from None
    except (SettingsError, OSError, UnicodeDecodeError):
        reason = _unreadable(Path(directory or "")) or "one is not a plain file"
        sentences.append(f"The credentials in {directory!r} cannot be read: {reason}.")
        raise ConfigurationError(sentences) from None
    if sentences:
        raise ConfigurationError(sentences)
    return settings
