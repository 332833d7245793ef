"""Where the edge sends requests: to the containers whose socket has its link.

    traffic.py open NAME... [--release ID] [--within SECONDS]
                                  prove a container on its own socket, then make its link
    traffic.py close NAME...      take the link away: who asks from now on is sent elsewhere
    traffic.py ask NAME           what its own socket answers, as JSON
    traffic.py alive SOCKET       whether anything answers there, for a health check

It runs in the service's image, on its interpreter, with nothing but the standard library.
"""

import argparse
import http.client
import json
import os
import socket
import sys
import time
from pathlib import Path

PATIENCE = 5.0
# Three answers in a row, as a host's gate has it.
PROOF = 3
ALIVE = "/health/live"
SOCKET, LINK = "http.sock", "live.sock"
# A connection that the kernel took is taken by the service within it: nothing new comes after the link is gone.
SETTLE = 0.5


class Connection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path: Path, health: str) -> tuple[int, str, str]:
    """The status, X-Release and body of the answer. Raises OSError, HTTPException."""
    connection = Connection(path)
    try:
        connection.request("GET", health, headers={"Connection": "close"})
        answer = connection.getresponse()
        return (
            answer.status,
            answer.headers.get("X-Release", ""),
            answer.read(100_000).decode("utf-8", "replace"),
        )
    finally:
        connection.close()


def complaint(path: Path, health: str, release: str) -> str:
    """Why the container at this socket has not proven itself; nothing when it has."""
    for _ in range(PROOF):
        try:
            status, said, body = ask(path, health)
        except (OSError, http.client.HTTPException) as failure:
            return f"{health} on its own socket: {type(failure).__name__}: {failure}"
        if status != 200:
            return f"{health} on its own socket: {status} {body[:500]}"
        if release and said != release:
            return f"{health} on its own socket is answered by release {said or 'nobody'}, not by {release}"
    return ""


def prove(path: Path, health: str, release: str, within: float) -> str:
    """The same, tried until it has or the time is over."""
    end = time.monotonic() + within
    while said := complaint(path, health, release):
        if time.monotonic() > end:
            return said
        time.sleep(0.2)
    return ""


def open_door(folder: Path) -> None:
    """Make the link, in one step whatever is there."""
    new = folder / f"{LINK}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(SOCKET)
    new.rename(folder / LINK)


def main() -> int:
    """0 done; 1 one has not proven itself, and its link is as it was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("do", choices=["open", "close", "ask", "alive"])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--release", default="")
    parser.add_argument("--within", type=float, default=60.0)
    given = parser.parse_args()
    health = os.environ.get("SLIPWAY_HEALTH", "/")
    if given.do == "alive":
        # Any answer: a database that is away is no reason to end what would answer 503.
        ask(Path(given.names[0]), ALIVE)
        return 0
    root = Path(os.environ["SLIPWAY_SOCKETS"])
    for name in given.names:
        folder = root / name
        if given.do == "ask":
            try:
                status, release, body = ask(folder / SOCKET, health)
            except (OSError, http.client.HTTPException) as failure:
                status, release, body = 0, "", f"{type(failure).__name__}: {failure}"
            print(
                json.dumps(
                    {"status": status, "release": release, "body": body, "open": (folder / LINK).is_symlink()}
                )
            )
        elif given.do == "close":
            (folder / LINK).unlink(missing_ok=True)
            time.sleep(SETTLE)
        elif said := prove(folder / SOCKET, health, given.release, given.within):
            print(json.dumps({"complaint": f"{name} has not proven itself: {said}"}))
            return 1
        else:
            open_door(folder)
    if given.do != "ask":
        # Whoever asked goes by this line: over podman's socket docker-compose run ends with 0 whatever became of it.
        print(json.dumps({given.do: given.names}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
