"""Ask the authority by certbot, and say in words what it answered: certbot's own last line often hides it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from slipway_acme.errors import AcmeError
from slipway_acme.lineage import FOLDER
from slipway_acme.settings import Settings

LOG = Path("/var/log/letsencrypt/letsencrypt.log")
EVERYBODYS = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS = 480
# An answer of the authority, or a part of one, that says what was wrong (RFC 8555, section 6.7).
PROBLEM = re.compile(r'\{[^{}]*"urn:ietf:params:acme:error:\w+"[^{}]*\}')
WORDS = {
    "accountDoesNotExist": "it does not know the account that is kept here",
    "badNonce": "it took the request for an old one, which another try cures",
    "caa": "a CAA record forbids it to issue for this name",
    "connection": "it could not reach port 80 of this name",
    "dns": "it found no address for this name",
    "externalAccountRequired": "it wants an account that was made elsewhere",
    "malformed": "it did not understand the request",
    "rateLimited": "too many were asked for in too short a time",
    "rejectedIdentifier": "it does not issue for this name",
    "serverInternal": "it is in trouble itself",
    "tls": "the name's own TLS was in its way",
    "unauthorized": "what answers under this name on port 80 is not this host",
    "userActionRequired": "it wants something agreed to first",
}
# certbot tries again by itself.
PASSING = "badNonce"


def ask(settings: Settings) -> None:
    """Have a new certificate in the lineage. Raises AcmeError with the authority's own words."""
    before = _seen()
    with tempfile.NamedTemporaryFile("wb", suffix=".pem") as bundle:
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        if settings.authority:
            bundle.write(
                settings.authority.read_bytes() + (EVERYBODYS.read_bytes() if EVERYBODYS.exists() else b"")
            )
            bundle.flush()
            environment["REQUESTS_CA_BUNDLE"] = bundle.name
        try:
            done = subprocess.run(
                _command(settings),
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise AcmeError("certbot is not installed: run site.yml.") from None
        except subprocess.TimeoutExpired:
            raise AcmeError(f"{settings.directory} did not come to an end within {SECONDS} s.") from None
    if done.returncode != 0:
        raise AcmeError(f"{settings.directory} gave no certificate for {', '.join(settings.names)}: "
                        f"{said(_log(before)) or _last(done)}")  # fmt: skip


def _command(settings: Settings) -> list[str]:
    named = [word for name in settings.names for word in ("--domain", name)]
    return [
        "certbot", "certonly", "--non-interactive", "--agree-tos", "--email", settings.mail, "--no-eff-email",
        "--server", settings.directory, "--config-dir", str(FOLDER), "--logs-dir", str(LOG.parent),
        "--webroot", "--webroot-path", str(settings.webroot), "--cert-name", settings.app, *named,
        # When to renew is decided here, by the lifetime; certbot's own rule is 30 days for each.
        "--key-type", "ecdsa", "--force-renewal", "--renew-with-new-domains",
    ]  # fmt: skip


def said(log: str) -> str:
    """The last problem that an authority named in a log of certbot's, in words; "" where there is none."""
    found = [_problem(text) for text in PROBLEM.findall(log)]
    problems = [(kind, detail) for kind, detail in found if kind]
    if not problems:
        return ""
    kind, detail = next((each for each in reversed(problems) if each[0] != PASSING), problems[-1])
    return f"{WORDS.get(kind, 'it refused')} ({kind}: {detail.rstrip('.') or 'no more was said'})."


def _problem(text: str) -> tuple[str, str]:
    try:
        problem = json.loads(text)
    except ValueError:
        return "", ""
    return str(problem.get("type", "")).rpartition(":")[2], str(problem.get("detail", ""))


def _seen() -> tuple[int, int]:
    """Which file the log is, and how much of it there is."""
    try:
        found = LOG.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size


def _log(before: tuple[int, int]) -> str:
    """What certbot wrote since: Debian's goes on in the same file, others begin a new one."""
    inode, size = _seen()
    start = before[1] if inode == before[0] and size >= before[1] else 0
    try:
        return LOG.read_bytes()[start:].decode("utf-8", "replace")
    except OSError:
        return ""


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    told = [
        line
        for line in lines
        if line and not line.startswith(("Ask for help", "Saving debug log", "See the logfile"))
    ]
    return f"certbot ended with {done.returncode} ({told[-1] if told else 'no word'}); {LOG} has all of it."
