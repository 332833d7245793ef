"""The commands that need no database: `check-config`, `openapi`."""

import os
import secrets
from argparse import Namespace

from pydantic import SecretStr

from shop.cli.output import say
from shop.core.configuration import effective, load_settings, unknown_variables
from shop.core.needs import require_what_is_set
from shop.settings import Settings


def check_config(_: Namespace) -> int:
    """Read all settings as the service would and print them, secrets only as set or not set.

    Variables that this release does not know are told as `unknown`: a later release may.
    """
    settings = load_settings(Settings)
    require_what_is_set(settings)
    say({**effective(settings), "unknown": unknown_variables(os.environ)})
    return 0


def openapi(_: Namespace) -> int:
    """Print the OpenAPI document, which the service itself answers with in lab and test only; no settings."""
    # The web framework takes a while to import, and check-config is part of every start.
    from shop.main import create_app

    # Nothing is read and nothing is connected: the document is the same in every environment.
    settings = Settings.model_construct(
        environment="test",
        release=os.environ.get("SHOP_RELEASE", "unreleased"),
        secret_key=SecretStr(secrets.token_urlsafe(48)),
    )
    say(create_app(settings).openapi())
    return 0
