"""Settings as an operator meets them: read from the process, refused in sentences."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import SettingsError

from shop.settings import PREFIX, SECRETS, MigrationSettings, Settings

AnySettings = TypeVar("AnySettings", bound=MigrationSettings)


class ConfigurationError(Exception):
    """The settings cannot be used; `sentences` says why, one sentence a variable, no secret repeated."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def _name(field: str) -> str:
    return f"The credential {field}" if field in SECRETS else PREFIX + field.upper()


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {PREFIX + field.upper() for field in Settings.model_fields if field not in SECRETS}
    sentences = []
    for variable in sorted(set(environ) - known):
        if not variable.startswith(PREFIX):
            continue
        secret = variable.removeprefix(PREFIX).lower()
        if secret in SECRETS:
            sentences.append(
                f"{variable} is set in the environment, where other processes can read it: remove it and put "
                f"the value into the file {secret} of the credentials directory."
            )
        else:
            sentences.append(f"{variable} is not a setting of this release: remove it, or correct its name.")
    return sentences


def _sentences(error: ValidationError, model: type[MigrationSettings]) -> list[str]:
    sentences = []
    for problem in error.errors(include_url=False, include_input=False):
        if not problem["loc"]:
            sentences.append(str(problem["ctx"]["error"]))
            continue
        field = str(problem["loc"][0])
        name, rule = _name(field), model.model_fields[field].description
        if problem["type"] == "missing":
            sentences.append(f"{name} is not set: it must be {rule}.")
        elif field in SECRETS:
            sentences.append(f"{name} cannot be used: it must be {rule}.")
        else:
            sentences.append(f"{name} is {os.environ.get(name, '')!r}: it must be {rule}.")
    return sentences


def load_settings(model: type[AnySettings]) -> AnySettings:
    """Read `model` from the environment and the credentials directory that systemd names.

    Raises ConfigurationError with one sentence for each variable that cannot be used.
    """
    sentences = _unknown_variables(os.environ)
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
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "one is not a plain file of UTF-8 text"
        sentences.append(f"The credentials in {directory!r} cannot be read: {reason}.")
        raise ConfigurationError(sentences) from None
    if sentences:
        raise ConfigurationError(sentences)
    return settings
