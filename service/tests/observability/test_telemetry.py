"""Sentry and OpenTelemetry against endpoints that really listen: what is sent, and what never is."""

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from conftest import RELEASE, Database, run, run_shop
from running import Service
from shop.core.telemetry import _before_send

PRODUCTS = "/api/v1/products"


class Receiver:
    """A server on loopback that keeps what is posted to it, by path."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                encoding = self.headers.get("Content-Encoding", "")
                if encoding == "gzip":
                    body = gzip.decompress(body)
                elif encoding == "deflate":
                    body = zlib.decompress(body)
                posts.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        """Stop and wait."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def until(self, condition: Callable[[], Any], seconds: float = 10) -> None:
        """Wait for `condition`."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.posts
            time.sleep(0.1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_an_error_nobody_expects_reaches_sentry_without_secrets_or_persons(
    database: Database, tmp_path: Path, receiver: Receiver
) -> None:
    environ = database.environ(tmp_path / "credentials", SHOP_WORKERS="1")
    dsn = f"http://public@127.0.0.1:{receiver.port}/1"
    (tmp_path / "credentials" / "sentry_dsn").write_text(dsn)
    service = Service(tmp_path, environ)
    try:
        service.wait_until_ready()

        run(database.execute, "ALTER TABLE shop.products RENAME COLUMN price TO amount")
        with service.client() as client:
            response = client.get(
                PRODUCTS,
                headers={"Authorization": "Bearer not-for-sentry", "X-Request-ID": "sentry-request-1"},
            )
            assert response.status_code == 500
            client.get("/nowhere")
        receiver.until(lambda: receiver.posts)
    finally:
        service.stop()
    bodies = b"".join(body for _, body in receiver.posts)
    assert b"sentry-request-1" in bodies
    assert RELEASE.encode() in bodies
    assert b"UndefinedColumn" in bodies
    for secret in (b"not-for-sentry", b"Authorization", b"shop.test", b'"vars"'):
        assert secret not in bodies, secret
    assert len(receiver.posts) == 1, "an expected answer was reported as an error"
    # One JSON document a line: the envelope's header, the item's, the event.
    event = json.loads(bodies.splitlines()[2])
    for error in event["exception"]["values"]:
        assert isinstance(error["mechanism"], dict)
        frames = error["stacktrace"]["frames"]
        assert frames
        assert all(frame["filename"] and frame["lineno"] for frame in frames)
    assert event["tags"]["method"] == "GET"


def test_what_an_error_says_of_a_secret_is_not_sent() -> None:
    error = {"type": "E", "value": "no login with password=hunter22", "stacktrace": {}}
    event = {"exception": {"values": [error]}}
    sent = _before_send(event, {})
    assert sent["exception"]["values"][0]["value"] == "no login with password=[redacted]"
    assert sent["exception"]["values"][0]["stacktrace"] == {}
    assert _before_send({"transaction": "/health/ready"}, {}) is None


def test_a_request_is_one_span_sent_once_and_probes_are_none(
    database: Database, tmp_path: Path, receiver: Receiver
) -> None:
    environ = database.environ(
        tmp_path / "credentials",
        SHOP_WORKERS="1",
        SHOP_OTEL_ENDPOINT=f"http://127.0.0.1:{receiver.port}",
        OTEL_BSP_SCHEDULE_DELAY="200",
        FASTAPI_OTEL_AUTO_CONFIGURE="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}/twice",
    )
    service = Service(tmp_path, environ)
    try:
        service.wait_until_ready()
        with service.client() as client:
            assert client.get(PRODUCTS).status_code == 200
    finally:
        service.stop()
    assert {path for path, _ in receiver.posts} == {"/v1/traces"}
    spans, services = [], set()
    for _, body in receiver.posts:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            services |= {item.value.string_value for item in resource.resource.attributes}
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    assert {"shop", RELEASE, "test"} <= services
    requests = [span for span in spans if span.name == f"GET {PRODUCTS}"]
    assert len(requests) == 1, [span.name for span in spans]
    assert not [span for span in spans if "/health" in span.name]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("SHOP_OTEL_ENDPOINT", "SHOP_OTEL_ENDPOINT is 'http://127.0.0.1:1', but this release lacks"),
        ("sentry_dsn", "The credential sentry_dsn is set, but this release lacks the package sentry-sdk"),
    ],
)
def test_what_is_asked_for_and_not_installed_is_refused_in_a_sentence(
    database: Database, tmp_path: Path, setting: str, sentence: str
) -> None:
    environ = database.environ(tmp_path / "credentials")
    # As where the extras are not installed: these names are found first, and are no packages.
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "def find_spec(name, package=None):\n"
        "    return None if name.startswith(('sentry_sdk', 'opentelemetry.sdk')) else found(name, package)\n"
        "importlib.util.find_spec = find_spec\n"
    )
    environ["PYTHONPATH"] = f"{absent}:{environ['PYTHONPATH']}"
    if setting.startswith("SHOP_"):
        environ[setting] = "http://127.0.0.1:1"
    else:
        (tmp_path / "credentials" / setting).write_text("http://public@127.0.0.1:1/1")
    done = run_shop("check-config", environ)
    assert done.returncode == 78
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_that_could_not_share_their_numbers_are_refused(database: Database, tmp_path: Path) -> None:
    environ = database.environ(
        tmp_path / "credentials", SHOP_WORKERS="4", SHOP_METRICS_ADDRESS=str(tmp_path / "metrics.sock")
    )
    done = run_shop("check-config", environ)
    assert done.returncode == 78
    assert "set PROMETHEUS_MULTIPROC_DIR to a directory" in done.stderr
    done = run_shop("check-config", {**environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "missing")})
    assert done.returncode == 78
    assert "is not a directory that can be written" in done.stderr
    (tmp_path / "values").mkdir()
    done = run_shop("check-config", {**environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "values")})
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "values").iterdir()) == []
