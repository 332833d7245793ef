"""Who may come in: over SSH, through the firewall, and to the service's secrets."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from .running import run

SSH = ("passwordauthentication", "kbdinteractiveauthentication", "permitrootlogin")
HOOK = re.compile(r"type filter hook input priority [^;]+;(?: policy (\w+);)?")
REFUSES = re.compile(r"(counter( packets \d+ bytes \d+)? )?(log .*)?(drop|reject\b.*)")
SHORTEST = 8
# As a shell has it for a program that is not there.
MISSING = 127


def sshd() -> dict[str, str]:
    """What sshd goes by, as it says itself; {problem} when it does not."""
    answer = run("/usr/sbin/sshd", "-T", patience=10)
    said = dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)
    if answer.returncode != 0 or not said:
        return {"problem": (answer.stderr.strip().splitlines() or ["sshd -T says nothing"])[-1]}
    return {name: said.get(name, "") for name in SSH}


def firewall() -> dict[str, Any]:
    """{denies: the chains that let in only what they name}, or {problem}."""
    answer = run("nft", "list", "ruleset", patience=10)
    if answer.returncode == MISSING:
        # Where nobody has nft, iptables may be the one that filters.
        older = run("iptables", "-S", "INPUT", patience=10).stdout.splitlines()
        return {"denies": ["iptables INPUT"] if "-P INPUT DROP" in older else []}
    if answer.returncode != 0:
        return {"problem": (answer.stderr.strip().splitlines() or ["nft says nothing"])[-1]}
    return {"denies": denying(answer.stdout)}


def denying(ruleset: str) -> list[str]:
    """Chains at the hook input that end in a refusal, by their policy or by their last rule."""
    table, chain, rules, found, policy = "", "", [""], [], None
    for line in (row.strip() for row in ruleset.splitlines()):
        if line.startswith("table "):
            table = " ".join(line.split()[1:3])
        elif line.startswith("chain "):
            chain, rules, policy = line.split()[1], [""], None
        elif hook := HOOK.match(line):
            policy = hook[1] or "accept"
        elif line == "}":
            if policy is not None and (policy == "drop" or REFUSES.fullmatch(rules[-1])):
                found.append(f"{table} {chain}")
            policy = None
        else:
            rules.append(line)
    return found


def secrets(app: str, root: str = "/") -> dict[str, Any]:
    """How many credentials there are, which are open to others than root, and which settings have one's value.

    Names alone leave this host, never a value.
    """
    folder = os.path.join(root, f"etc/{app}/credentials")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    opened, values = [], []
    for name in names:
        path = os.path.join(folder, name)
        seen = os.stat(path)
        if seen.st_uid != 0 or stat.S_IMODE(seen.st_mode) & 0o077:
            opened.append(name)
        with open(path, encoding="utf-8", errors="replace") as stream:
            values.append(stream.read().strip())
    kept = [value for value in values if len(value) >= SHORTEST]
    told = [name for name, value in settings(app, root).items() if any(secret in value for secret in kept)]
    return {"credentials": names, "open": opened, "told": told}


def settings(app: str, root: str = "/") -> dict[str, str]:
    """The service's settings; none where there is no file of them."""
    try:
        with open(os.path.join(root, f"etc/{app}/{app}.env"), encoding="utf-8") as stream:
            rows = [line.rstrip("\n").split("=", 1) for line in stream if "=" in line and line[0] != "#"]
    except FileNotFoundError:
        return {}
    return {name: value.strip('"') for name, value in rows}
