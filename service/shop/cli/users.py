"""`shop create-admin` and `shop set-user`: what only an operator may do with users."""

import asyncio
import secrets
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from shop.cli.output import EX_FAILED, EX_USAGE, CommandError, refusing, say
from shop.core.configuration import load_settings
from shop.core.database import Resources, open_resources
from shop.core.errors import ConstraintError
from shop.core.logging import configure_logging
from shop.core.passwords import Passwords
from shop.core.session import session_on
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


async def _find(resources: Resources, email: str) -> users.Identity | None:
    async with session_on(resources.reads) as session:
        return await users.find_identity(session, email)


async def _create(settings: Settings, email: str, name: str, chosen: str) -> dict[str, Any] | None:
    """What was created, None when the address belongs to an active admin already."""
    async with open_resources(settings) as resources:
        identity = await _find(resources, email)
        if identity is None:
            passwords = Passwords.of(settings)
            try:
                async with session_on(resources.writes) as session:
                    created = await users.create_user(
                        session, passwords, email=email, password=chosen, name=name, role="admin"
                    )
            except ConstraintError:
                identity = await _find(resources, email)
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


def set_user_arguments(parser: ArgumentParser) -> None:
    """The arguments of set-user: at least one of the changes."""
    parser.add_argument("email", help="the address the user logs in with")
    active = parser.add_mutually_exclusive_group()
    active.add_argument(
        "--disable", dest="is_active", action="store_false", default=None, help="let in no more"
    )
    active.add_argument("--enable", dest="is_active", action="store_true", default=None, help="let in again")
    parser.add_argument("--role", choices=("user", "admin"), help="what the user may do")
    parser.add_argument(
        "--password-stdin", action="store_true", help="read a new password from the first line of stdin"
    )


async def _set(settings: Settings, chosen: Namespace, password: str | None) -> dict[str, Any]:
    async with open_resources(settings) as resources, session_on(resources.writes) as session:
        user = await users.administer(
            session,
            Passwords.of(settings),
            chosen.email,
            is_active=chosen.is_active,
            role=chosen.role,
            password=password,
        )
    if user is None:
        raise CommandError(EX_FAILED, f"No user has the address {chosen.email}. Nothing was changed.")
    return {"id": user.id, "email": user.email, "role": user.role, "is_active": user.is_active}


def set_user(chosen: Namespace) -> int:
    """Disable or enable a user, change their role or password, and end all their sessions.

    Access tokens that are out are refused within 30 seconds.
    """
    if chosen.is_active is None and chosen.role is None and not chosen.password_stdin:
        raise CommandError(EX_USAGE, "Name a change: --disable, --enable, --role or --password-stdin.")
    settings = load_settings(Settings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    password = sys.stdin.readline().rstrip("\r\n") if chosen.password_stdin else None
    with refusing():
        say(asyncio.run(_set(settings, chosen, password)))
    return 0
