#!/usr/bin/python3
# Written by Slipway (role rsyslog). A change made here is undone by the next run.
"""Carry rsyslogd's connections to the logs host in TLS, and try again for ever where its certificate is refused.

Usage: relp-tunnel PORT ADDRESS NAME FOLDER USER. It listens on 127.0.0.1:PORT, for processes of USER alone, and
connects each to ADDRESS:PORT, whose certificate has to be of FOLDER's ca.pem and for NAME; this host shows FOLDER's
host.pem. The files are read at each connection. Where there is none, rsyslogd's is closed: it has no answer, and its
lines wait.
"""

from __future__ import annotations

import asyncio
import pwd
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
CHUNK = 64 * 1024
# For a connection with its handshake; and for what is left to be handed over when one side has closed.
CONNECT_SECONDS, CLOSE_SECONDS = 15, 5
ESTABLISHED = "01"


@dataclass
class Tunnel:
    """said: the last sentence, which is said once however often it is tried."""

    port: int
    address: str
    name: str
    folder: Path
    user: int
    said: str = ""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of rsyslogd's, to its end."""
        try:
            if owner(writer.get_extra_info("peername"), writer.get_extra_info("sockname")) != self.user:
                self.say("A program that is not rsyslogd was refused.")
                return
            answered = await self.connected(reader, writer)
            if not answered:
                self.say(
                    f"{self.name} gave no answer before it ended a connection: it refuses this host's certificate,"
                    " or hears no RELP."
                )
        except ssl.SSLCertVerificationError as problem:
            self.say(f"The certificate of {self.name} ({self.address}) is refused: {problem.verify_message}.")
        except (OSError, asyncio.TimeoutError) as problem:
            self.say(f"There is no connection to {self.name} ({self.address}): {problem or 'no answer'}.")
        finally:
            await ended(writer)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Carry both ways until either side ends; whether the other side said anything."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / "host.pem", self.folder / "host.key")
        opening = asyncio.open_connection(self.address, self.port, ssl=context, server_hostname=self.name)
        from_there, there = await asyncio.wait_for(opening, CONNECT_SECONDS)
        ways = [
            asyncio.create_task(copied(reader, there)),
            asyncio.create_task(self.answers(from_there, writer)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # rsyslogd may end when it likes.
            return ways[0] in done or ways[1].result() > 0
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await ended(there)

    async def answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        first = await reader.read(CHUNK)
        if first:
            self.say(f"Lines go to {self.name} ({self.address}).")
        writer.write(first)
        return len(first) + await copied(reader, writer)

    def say(self, sentence: str) -> None:
        if sentence != self.said:
            print(sentence, flush=True)
        self.said = sentence


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Bytes that came until the end, each handed over before the next are read."""
    count = 0
    while data := await reader.read(CHUNK):
        count += len(data)
        writer.write(data)
        await writer.drain()
    return count


async def ended(writer: asyncio.StreamWriter) -> None:
    """What was written is handed over, unless nobody takes it."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
    except (OSError, asyncio.TimeoutError):
        writer.transport.abort()


def owner(peer: tuple[str, int], own: tuple[str, int]) -> int | None:
    """Whose the other end of a connection on this host is, None when it has been closed; see proc(5)."""
    ends = [f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}" for host, port in (peer, own)]
    for line in Path("/proc/self/net/tcp").read_text().splitlines():
        words = line.split()
        if words[1:4] == [*ends, ESTABLISHED]:
            return int(words[7])
    return None


async def serve(tunnel: Tunnel) -> None:
    async with await asyncio.start_server(tunnel.carry, LOOPBACK, tunnel.port) as server:
        await server.serve_forever()


def main(words: list[str]) -> int:
    if len(words) != 5:
        print("Usage: relp-tunnel PORT ADDRESS NAME FOLDER USER", file=sys.stderr)
        return 2
    port, address, name, folder, user = words
    try:
        asyncio.run(serve(Tunnel(int(port), address, name, Path(folder), pwd.getpwnam(user).pw_uid)))
    except (OSError, KeyError, ValueError) as problem:
        print(f"The tunnel to {name} cannot listen on {LOOPBACK}:{port}: {problem}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
