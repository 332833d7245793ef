"""A release's server for the unit tests: SOCKET RELEASE BEHAVIOUR.

BEHAVIOUR: ready, nameless (ready, and refuses whoever asks by the name shop.test), broken (ready, and answers 500 to
customers), never (503), wrong (answers for another release), schemaless (does not say with
which schema), elsewhere (says that it is ready at /healthz), crash (ends at once); others are ready.
"""

from __future__ import annotations

import http.server
import json
import socketserver
import sys
from pathlib import Path

OTHER_RELEASE = "20200101T000000Z-0000000"


class Ready(http.server.BaseHTTPRequestHandler):
    release = ""
    behaviour = ""

    def do_GET(self) -> None:
        if upgrade := self.headers["Upgrade"]:
            self.send_response(101)
            self.send_header("Upgrade", upgrade)
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            return
        health = "/healthz" if self.behaviour == "elsewhere" else "/health/ready"
        if self.path != health and self.behaviour != "never":
            self._customer()
            return
        ready = self.behaviour != "never" and self.path == health
        said = {"status": "ready" if ready else "database is not reachable"}
        schema = {} if self.behaviour == "schemaless" else {"schema_applied": "0001"}
        body = json.dumps(said | schema).encode()
        self.send_response(200 if ready else 503)
        self.send_header("X-Release", OTHER_RELEASE if self.behaviour == "wrong" else self.release)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _customer(self) -> None:
        if self.behaviour == "elsewhere":
            self.send_error(404)
            return
        refused = self.behaviour == "nameless" and self.headers["Host"] == "shop.test"
        body = b'{"code": "host_not_served"}' if refused else b"[]"
        self.send_response(421 if refused else 500 if self.behaviour == "broken" else 200)
        self.send_header("X-Release", self.release)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main(socket: str, release: str, behaviour: str) -> int:
    Ready.release, Ready.behaviour = release, behaviour
    print(f"starting {release}", flush=True)
    if behaviour == "crash":
        print("cannot import shop.main", flush=True)
        return 1
    path = Path(socket)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    Server(socket, Ready).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
