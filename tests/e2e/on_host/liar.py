"""Answers in node-exporter's place: a gigabyte, never, what is no metrics, or what node-exporter says where the clock
is ten minutes behind. Given as JSON: how, address, folder.
"""

import http.server
import json
import re
import ssl
import sys
import time
import urllib.request

given = json.loads(sys.argv[1])
CHUNK = b"x" * (1 << 20)
BEHIND = 600
# What the host's own clock says, on node-exporter's page and on slipway's.
MOMENT = re.compile(rb"^(node_time_seconds|slipway_metrics_timestamp_seconds\{.*\}) (\S+)$", re.MULTILINE)


def behind(found: re.Match[bytes]) -> bytes:
    return b"%s %.3f" % (found[1], float(found[2]) - BEHIND)


class Liar(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if given["how"] == "hang":
            time.sleep(60)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        try:
            for _ in range(1024 if given["how"] == "gigabyte" else 0):
                self.wfile.write(CHUNK)
            self.wfile.write(self._page())
        except OSError:
            """It hung up on the lie."""

    def _page(self) -> bytes:
        if given["how"] != "clock":
            return b"<html>It works!</html>\n"
        # node-exporter itself, on loopback meanwhile.
        with urllib.request.urlopen("http://127.0.0.1:9101/metrics") as answer:
            return MOMENT.sub(behind, answer.read())

    def log_message(self, *_: object) -> None:
        """Quiet."""


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{given['folder']}/host.pem", f"{given['folder']}/host.key")
server = http.server.ThreadingHTTPServer((given["address"], 9100), Liar)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
