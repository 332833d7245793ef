"""The way through a bastion, out of the words that an inventory has for Ansible's ssh."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from fabfile.errors import RefusedError

VARIABLES = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
# A jump host as ssh takes it: nothing in it can be an option or a command.
JUMP = re.compile(r"(ssh://)?[A-Za-z0-9][A-Za-z0-9@._:,\[\]-]*")


def proxy(host: str, words: str, known: Mapping[str, str]) -> str:
    """The command that leads to a host, "" for the direct way. known: what %h, %p, %r and %n stand for.

    Of all else in these words (ControlMaster, timeouts, ciphers) nothing is about where the host is.
    Raises RefusedError where they cannot be read.
    """
    try:
        given = shlex.split(words)
    except ValueError as failure:
        raise RefusedError(f"The ssh words of {host} in the inventory cannot be read: {failure}.") from None
    for word, option in _options(given):
        name, _, value = (part.strip() for part in option.replace("=", " ", 1).partition(" "))
        jump = option if word == "-J" else value if name.lower() == "proxyjump" else ""
        if jump and jump.lower() != "none":
            return _jumping(host, jump, known)
        if word == "-o" and name.lower() == "proxycommand" and value.lower() != "none":
            return re.sub(r"%([hprn%])", lambda found: {**known, "%": "%"}[found[1]], value)
    return ""


def _options(given: list[str]) -> list[tuple[str, str]]:
    """The -o and -J among them, with what each says."""
    found = []
    for position, word in enumerate(given):
        if word in ("-o", "-J"):
            found += [(word, each) for each in given[position + 1 : position + 2]]
        elif word[:2] in ("-o", "-J"):
            found.append((word[:2], word[2:]))
    return found


def _jumping(host: str, jump: str, known: Mapping[str, str]) -> str:
    """By OpenSSH, which has its own settings, keys and known hosts for the bastion."""
    if not JUMP.fullmatch(jump):
        raise RefusedError(f"The inventory reaches {host} by {jump!r}, which is no host to jump over.")
    *before, last = jump.split(",")
    over = ["-J", ",".join(before)] if before else []
    name, _, port = last.rpartition(":") if last.count(":") == 1 else (last, "", "")
    return shlex.join(
        ["ssh", *over, *(["-p", port] if port else []), "-W", f"{known['h']}:{known['p']}", name]
    )
