"""Says to a PostgreSQL server what its clients do not: {entered: how many were let in, said: answers by their kind}."""

import collections
import json
import socket
import ssl
import struct
import sys

arguments = json.loads(sys.argv[1])
SSL, GSS, CANCEL = 80877103, 80877104, 80877102
FLOOD = 200


def packet(code: int, text: bytes = b"") -> bytes:
    """A packet that begins a session."""
    return struct.pack("!ii", 8 + len(text), code) + text


def begin(user: bytes) -> bytes:
    """A session of protocol 3.0."""
    return packet(196608, b"user\0" + user + b"\0database\0shop\0\0")


def answer(*sent: bytes, tls: bool = False) -> bytes:
    """The first bytes that come back; nothing where it hangs up."""
    with socket.create_connection((arguments["address"], 5432), timeout=3) as plain:
        connection = plain
        try:
            if tls:
                plain.sendall(packet(SSL))
                if plain.recv(1) != b"S":
                    return b""
                context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem")
                context.check_hostname = False
                connection = context.wrap_socket(plain)
            for each in sent:
                connection.sendall(each)
            return connection.recv(64)
        except OSError:
            return b""


password = b"p" + struct.pack("!i", 4 + len(b"nonsense\0")) + b"nonsense\0"
said = [
    answer(b"GET / HTTP/1.1\r\n\r\n"),
    answer(struct.pack("!i", 1 << 30)),
    answer(struct.pack("!ii", 8, -1)),
    answer(packet(CANCEL, struct.pack("!ii", 1, 1))),
    answer(begin(b"shop")),
    *(answer(begin(user), tls=True) for user in (b"postgres", b"shop_owner", b"slipway_ops", b"nobody", b"")),
    *(answer(begin(b"shop"), password, tls=True) for _ in range(20)),
    *(answer(packet(SSL), packet(SSL)) for _ in range(FLOOD)),
    *(answer(packet(GSS), packet(GSS), packet(GSS)) for _ in range(FLOOD)),
]
# R with 0 is "you are in"; Z is "what do you want to know".
entered = sum(b"R\0\0\0\x08\0\0\0\0" in each or b"Z\0\0\0\x05" in each for each in said)
kinds = collections.Counter(each[:1].decode("latin-1") for each in said)
print(json.dumps({"entered": entered, "said": kinds}))
