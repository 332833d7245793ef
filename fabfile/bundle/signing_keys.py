"""Which SSH key an engineer signs with: the one that is named, one that the ssh-agent has, or a usual file."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fabfile.errors import RefusedError
from fabfile.hosts.environment import VARIABLE, Signing

SECONDS = 20.0
USUAL = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True)
class Key:
    """file: the private one, or None where the agent has it. public: its line then."""

    fingerprint: str
    file: Path | None
    public: str = ""


def chosen(signing: Signing) -> Key:
    """The key that is named, else one of the agent's, else a usual file: of those that the inventory lets sign."""
    if signing.key is not None:
        return Key(_fingerprint_of(signing.key), signing.key)
    wanted = {found: signer.name for signer in signing.signers if (found := fingerprint(signer.key))}
    public, said = _in_agent()
    for line in public:
        if (found := fingerprint(line)) in wanted:
            return Key(found, None, line)
    for name in USUAL:
        file = Path.home() / ".ssh" / name
        beside = file.with_name(f"{name}.pub")
        public_half = beside.read_text("utf-8") if file.is_file() and beside.is_file() else ""
        if (found := fingerprint(public_half)) in wanted:
            return Key(found, file)
    names = ", ".join(sorted(wanted.values())) or "nobody"
    raise RefusedError(
        f"No key to sign the bundle with. The inventory lets {names} sign (release_signers); {said}, and ~/.ssh has "
        "none of theirs in a usual file. Nothing was signed, and nothing shipped. Load yours with ssh-add, or name it: "
        f"{VARIABLE}=FILE"
    )


def fingerprint(public: str) -> str:
    """Of a public key's line, as ssh-keygen -l shows it; "" when it is none."""
    words = public.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _fingerprint_of(file: Path) -> str:
    done = ran(["ssh-keygen", "-l", "-f", str(file)], SECONDS)
    if done.returncode == 0 and (found := FINGERPRINT.search(done.stdout)):
        return found.group()
    raise RefusedError(
        f"The key to sign the bundle with is {file}, and ssh-keygen finds none there: {last(done)}. Nothing was "
        "signed, and nothing shipped. Name a private key, or the public one of a key in the ssh-agent: "
        f"{VARIABLE}=FILE, or deploy_signing_key in the inventory."
    )


def _in_agent() -> tuple[list[str], str]:
    """The public keys in the ssh-agent, and what there is to say of it."""
    try:
        done = ran(["ssh-add", "-L"], SECONDS)
    except RefusedError:
        return [], "no ssh-agent answers"
    if done.returncode == 0:
        lines = done.stdout.splitlines()
        return lines, f"none of the {len(lines)} key(s) in the ssh-agent is theirs"
    return [], "the ssh-agent has no key" if done.returncode == 1 else "no ssh-agent answers"


def ran(
    command: Sequence[str], seconds: float, given: str = "", asking: bool = False
) -> subprocess.CompletedProcess[str]:
    """asking: it may ask for a passphrase or a touch on this terminal; otherwise it has none to ask on."""
    environment = os.environ if asking else {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
    try:
        return subprocess.run(
            command,
            input=None if asking else given,
            stdout=subprocess.PIPE,
            stderr=None if asking else subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            timeout=seconds,
            start_new_session=not asking,
        )
    except FileNotFoundError:
        raise RefusedError(
            f"This machine has no {command[0]} (package openssh-client). Nothing was signed, and nothing shipped."
        ) from None
    except subprocess.TimeoutExpired:
        raise RefusedError(
            f"{command[0]} had not ended after {seconds:g} s. Nothing was signed, and nothing shipped."
        ) from None


def last(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr or done.stdout or "").strip().splitlines()
    return said[-1] if said else f"it ended with {done.returncode}"
