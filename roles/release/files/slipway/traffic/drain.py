"""`slipway drain` and `undrain`: the edge sends this app host nothing more; what runs here ends in peace.

nginx closes each connection of the edge after its present answer, because it finds a file in /run; the kernel refuses
new ones on the private port, so that the edge asks the next app host. A reboot takes both away.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from slipway.clock import utc_now
from slipway.errors import RefusedError, StepError
from slipway.files import remove, write_atomically
from slipway.host import Host
from slipway.processes import Outcome, run
from slipway.turns.session import Report, Session

SECONDS = 10.0
# The edge keeps a connection that it does not use for 60 s; nginx here, one of an edge that died, for 90 s.
QUIET_SECONDS = 100.0
PAUSE_SECONDS = 0.1
# Of an earlier slipway, which knew one service a host.
TABLE_BEFORE = "slipway"
# Only the first packet of a connection: those that are there go on. The edge learns of it at once, by a reset.
RULES = """table inet {table}
delete table inet {table}
table inet {table} {{
    chain drain {{
        type filter hook input priority -10; policy accept;
        tcp dport {port} tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset
    }}
}}
"""
LISTEN, ESTABLISHED = "0A", "01"
SETTINGS_BYTES = 64 * 1024


def read(host: Host) -> dict[str, Any] | None:
    """{since, port, why, refusing}; None when this host takes traffic. why: what drained it, None for a person.

    refusing: whether the kernel's rule is there.
    """
    try:
        said = json.loads(host.drained.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        said = None
    facts = said if isinstance(said, dict) else {}
    return {
        "since": facts.get("since"),
        "port": facts.get("port"),
        "why": facts.get("why"),
        "refusing": bool(_tables(host, facts.get("port"))),
    }


def private_port(host: Host) -> int | None:
    """The one by which the edge reaches this host, as nginx is told; None where there is no edge before it."""
    try:
        with host.private_server.open("rb") as stream:
            text = stream.read(SETTINGS_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    for line in text.splitlines():
        words = line.strip().removesuffix(";").split()
        if words[:1] == ["listen"] and (port := words[1].rpartition(":")[2]).isdecimal():
            return int(port)
    return None


def drain(session: Session, asked: int | None, why: str | None = None) -> Report:
    """asked: the private port, if the caller says; no other port is ever closed, sshd's above all.

    why: what drains it, such as patch, so that it is known again as its own.
    """
    host = session.host
    port = private_port(host)
    if port is None or asked not in (None, port):
        told = (
            f"nginx serves an edge on port {port}" if port else f"{host.private_server} names no private port"
        )
        raise RefusedError(
            "not-listening",
            f"This host has no edge before it on port {asked or 'of its own'}: {told}.",
            "`slipway maintenance on` answers for the service.",
        )
    found = read(host)
    as_asked = found is not None and found["refusing"] and found["port"] == port
    if as_asked and not session.journal.broken_off("drain"):
        return Report(
            False, {"drained": True, **(found or {})}, "This host is drained already; nothing was changed."
        )
    if str(host.drained) not in host.private_server.read_text("utf-8", "replace"):
        raise RefusedError(
            "not-told",
            f"nginx does not look for {host.drained} yet, so it would keep the edge's connections.",
            "edge.yml tells it.",
        )
    if not Path(host.nft).exists():
        raise RefusedError(
            "no-nft", f"{host.nft} is not on this host.", "The package nftables brings it: site.yml."
        )
    if not _sockets(port, LISTEN):
        raise RefusedError(
            "not-listening",
            f"Nothing listens on port {port} of this host: it has no edge before it that could go elsewhere.",
            "`slipway maintenance on` answers for the service.",
        )
    with session.journal.step("drain", port=port):
        content = json.dumps({"since": utc_now(), "port": port, "why": why}) + "\n"
        write_atomically(host.drained, content.encode())
        said = run(
            [host.nft, "-f", "-"], SECONDS, given=RULES.format(table=host.drain_table, port=port).encode()
        )
        if not said.ok:
            remove(host.drained)
            raise StepError(
                "nft-failed", f"nft refused the rule; this host takes traffic as before: {said.tail(5)}"
            )
    return Report(
        True, {"drained": True, **(read(host) or {})}, f"This host takes no new connections on {port}."
    )


def undrain(session: Session) -> Report:
    host = session.host
    found = read(host)
    tables = _tables(host, found["port"] if found else private_port(host))
    result = {"drained": False, "since": None, "port": None, "why": None, "refusing": False}
    if not tables and found is None and not session.journal.broken_off("undrain"):
        return Report(False, result, "This host is not drained; nothing was changed.")
    with session.journal.step("undrain"):
        for table in tables:
            if not (said := _nft(host, "delete", table)).ok:
                raise StepError(
                    "nft-failed",
                    f"This host is still drained; nft could not take the rule away: {said.tail(5)}",
                )
        remove(host.drained)
    return Report(True, result, "This host takes traffic again.")


def wait_until_quiet(session: Session, stays: bool, kept: str) -> float:
    """Until the edge's connections have ended; each does with its next answer. Returns the seconds it took.

    stays: whether this host was drained before, and stays so when they do not end. kept: what was not done then.
    """
    port = private_port(session.host)
    began = time.monotonic()
    while left := connections(port):
        if time.monotonic() - began > QUIET_SECONDS:
            if not stays:
                undrain(session)
            raise StepError(
                "not-quiet",
                f"{left} connections of the edge have not ended in {QUIET_SECONDS:g} s, so {kept}; it serves as before"
                f"{', and this host stays drained' if stays else ''}. A long request or download? "
                f"`ss -tn sport = :{port}` shows them.",
                connections=left,
            )
        time.sleep(PAUSE_SECONDS)
    return round(time.monotonic() - began, 1)


def drain_and_wait(session: Session, asked: int | None, why: str | None) -> Report:
    """The same as drain, until the edge has none of its connections left here."""
    stays = read(session.host) is not None
    report = drain(session, asked, why)
    quiet = wait_until_quiet(session, stays, "nothing was begun here")
    return Report(
        report.changed, {**report.result, "quiet_s": quiet}, f"{report.message} Quiet after {quiet} s."
    )


def _tables(host: Host, port: int | None) -> list[str]:
    """Those that are there and refuse this service's connections."""
    found = [host.drain_table] if _nft(host, "list", host.drain_table).ok else []
    before = _nft(host, "list", TABLE_BEFORE)
    return found + ([TABLE_BEFORE] if before.ok and f"dport {port} " in before.output else [])


def _nft(host: Host, verb: str, table: str) -> Outcome:
    if not Path(host.nft).exists():
        return Outcome(1, f"{host.nft} is not there")
    return run([host.nft, verb, "table", "inet", table], SECONDS)


def connections(port: int | None) -> int:
    """How many TCP connections to port there are."""
    return _sockets(port, ESTABLISHED)


def _sockets(port: int | None, wanted: str) -> int:
    """How many TCP sockets of this host have that port and are in that state."""
    found = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        for line in path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else ():
            _, local, _, state = line.split()[:4]
            found += state == wanted and int(local.rpartition(":")[2], 16) == port
    return found
