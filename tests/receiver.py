"""Who is told of alerts: a webhook that remembers what came, and when."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

STEP = 0.5


@dataclass(frozen=True)
class Message:
    """One alert of one message. at: when it came, by time.monotonic()."""

    at: float
    path: str
    status: str
    name: str
    labels: dict[str, str]
    said: dict[str, str]


class Receiver:
    """Use as a context. answers: the status that whoever tells is answered with; what is not 200 is not remembered."""

    def __init__(self, address: str) -> None:
        self.messages: list[Message] = []
        self.address, self.answers = address, 200

    def __enter__(self) -> Receiver:
        messages, receiver = self.messages, self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = receiver.answers
                messages.extend(
                    Message(
                        time.monotonic(), self.path, each["status"], each["labels"]["alertname"], each["labels"],
                        each["annotations"],
                    )
                    for each in told["alerts"]
                    if answer == 200
                )  # fmt: skip
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer((self.address, 0), Answering)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def url(self, path: str) -> str:
        return f"http://{self.address}:{self.server.server_port}/{path}"

    def alerts(self, since: float = 0.0) -> list[Message]:
        """What came for a person."""
        return [each for each in list(self.messages) if each.path == "/alerts" and each.at >= since]

    def await_(self, name: str, status: str, since: float, seconds: float, told: str = "") -> Message:
        """The first message of an alert since then, whose sentence that is; fail with what came instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for each in list(self.messages):
                same = (each.name, each.status) == (name, status) and each.at >= since
                if same and re.search(told, each.said["sentence"]):
                    return each
            time.sleep(STEP)
        came = [(each.name, each.status, each.said.get("sentence")) for each in self.alerts(since)]
        raise AssertionError(f"{name} was not told as {status} in {seconds:g} s; told was {came}")

    def await_end(self, came: Message, seconds: float) -> Message:
        """When that alert was told to be over, whatever its sentence was by then; fail with what came instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for each in list(self.messages):
                if each.status == "resolved" and each.labels == came.labels and each.at >= came.at:
                    return each
            time.sleep(STEP)
        since = [
            (each.status, each.said.get("sentence"))
            for each in self.alerts(came.at)
            if each.name == came.name
        ]
        raise AssertionError(f"{came.name} was not told to be over in {seconds:g} s; of it was told {since}")
