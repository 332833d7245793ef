"""`shop create-admin`: registration makes users only, so the first admin comes from here."""

import asyncio
import secrets
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from shop.cli.output import EX_FAILED, CommandError, refusing, say
from shop.core.configuration import load_settings
from shop.core.database import open_resources
from shop.core.errors import ConstraintError
from shop.core.logging import configure_logging
from shop.core.passwords import Passwords
from shop.settings import Settings
from shop.users import service as users


def arguments(parser: ArgumentParser) -> None:
    """The arguments of create-admin; a password is none of them: everyone on the host could read it."""
    parser.add_argument("email", help="the address the admin logs in with")
    parser.add_argument(
        "--name", default="Admin", help="the name others see, 1 to 50 characters (%(default)s)"
    )
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of stdin; otherwise one is generated and printed once",
    )


async def _create(settings: Settings, email: str, name: str, chosen: str) -> dict[str, Any] | None:
    """What was created, None when the address belongs to an active admin already."""
    async with open_resources(settings) as resources:
        identity = await users.find_identity(resources.reads, email)
        if identity is None:
            passwords = Passwords.of(settings)
            try:
                created = await users.create_user(
                    resources.writes, passwords, email=email, password=chosen, name=name, role="admin"
                )
            except ConstraintError:
                identity = await users.find_identity(resources.reads, email)
            else:
                return {"id": created.id, "email": created.email, "role": created.role}
    if identity is None or identity.role != "admin" or not identity.is_active:
        state = "disabled" if identity and not identity.is_active else "no admin"
        sentence = f"The address {email} belongs to a user who is {state}: name another one."
        raise CommandError(EX_FAILED, f"{sentence} Nothing was changed.")
    return None


def create_admin(chosen: Namespace) -> int:
    """Create an admin and print a generated password once; an admin who is there already is left as is."""
    settings = load_settings(Settings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    given = sys.stdin.readline().rstrip("\r\n") if chosen.password_stdin else None
    password = secrets.token_urlsafe(18) if given is None else given
    with refusing():
        created = asyncio.run(_create(settings, chosen.email, chosen.name, password))
    if created is None:
        say({"created": False, "email": chosen.email, "role": "admin"})
    else:
        shown = {"password": password} if given is None else {}
        say({"created": True, **created, **shown})
    return 0
