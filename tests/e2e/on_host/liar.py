"""Answers in node-exporter's place: a gigabyte, never, or what is no metrics. Given as JSON: how, address, folder."""

import http.server
import json
import ssl
import sys
import time

given = json.loads(sys.argv[1])
CHUNK = b"x" * (1 << 20)


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
            self.wfile.write(b"<html>It works!</html>\n")
        except OSError:
            """It hung up on the lie."""

    def log_message(self, *_: object) -> None:
        """Quiet."""


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{given['folder']}/host.pem", f"{given['folder']}/host.key")
server = http.server.ThreadingHTTPServer((given["address"], 9100), Liar)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
