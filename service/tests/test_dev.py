"""`make dev`: the service with a database of its own, reloaded on change, until Ctrl-C."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from conftest import SERVICE

# As long as a loaded machine may take for each step.
SECONDS = 180.0
# As service/run-dev has it: the caller's own `tests` is not the service's.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
CHEAP = {"SHOP_PASSWORD_MEMORY_KIB": "8", "SHOP_PASSWORD_ITERATIONS": "1"}


class Development:
    """One run of it on a copy of the checkout."""

    def __init__(self, checkout: Path) -> None:
        self.service = checkout / "service"
        self.output = checkout / "output"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]

    def start(self) -> "subprocess.Popen[bytes]":
        """Type it; what it says goes into `output`."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dev", "--port", str(self.port)],
                cwd=self.service,
                env={**ENVIRONMENT, **CHEAP},
                stdout=output,
                stderr=output,
            )
        return self.process

    def ask(self, path: str, wanted: Any) -> httpx2.Response:
        """The answer of `path` once `wanted` is true of it."""
        deadline, response = time.monotonic() + SECONDS, None
        with httpx2.Client(base_url=f"http://127.0.0.1:{self.port}") as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    response = client.get(path)
                except httpx2.TransportError:
                    response = None
                if response is not None and wanted(response):
                    return response
                time.sleep(0.1)
        raise AssertionError(f"{path} answered {response}\n{self.output.read_text()}")

    def interrupt(self) -> str:
        """Ctrl-C; all that was said until the end."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(SECONDS) == 0, self.output.read_text()
        return self.output.read_text()


@pytest.fixture
def development() -> Iterator[Development]:
    """A copy of the service where PostgreSQL's own user can go, too: tmp_path lets nobody in."""
    checkout = Path(tempfile.mkdtemp(prefix="dev-"))
    checkout.chmod(0o755)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("shop", "migrations", "dev"):
        shutil.copytree(SERVICE / name, checkout / "service" / name, ignore=ignored)
    (checkout / "service" / "tests").mkdir()
    for name in ("pyproject.toml", "tests/postgresql.py"):
        shutil.copy(SERVICE / name, checkout / "service" / name)
    development = Development(checkout)
    try:
        yield development
    finally:
        if development.process.poll() is None:
            development.process.terminate()
            development.process.wait(SECONDS)
        shutil.rmtree(checkout)


def test_what_is_changed_is_served_and_what_is_stopped_goes_on(development: Development) -> None:
    development.start()
    development.ask("/health/ready", lambda answer: answer.status_code == 200)
    products = development.ask("/api/v1/products", lambda answer: answer.status_code == 200).json()["items"]
    assert len(products) > 10, "a seeded shop"
    assert "swagger" in development.ask("/docs", lambda answer: answer.status_code == 200).text

    second = subprocess.run(
        [sys.executable, "-m", "dev"],
        cwd=development.service,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (second.returncode, "Another make dev runs" in second.stderr) == (1, True), second

    edited = development.service / "shop" / "operations" / "health.py"
    edited.write_text(edited.read_text().replace('{"status": "live"', '{"status": "edited"'))
    development.ask("/health/live", lambda answer: answer.json()["status"] == "edited")

    said = development.interrupt()
    assert "200 GET /api/v1/products" in said, "lines for people"
    assert "The data is kept" in said
    data = development.service.parent / "build" / "dev" / "data"
    assert not (data / "postmaster.pid").exists(), "nothing goes on running"

    development.start()
    again = development.ask("/api/v1/products", lambda answer: answer.status_code == 200).json()["items"]
    assert again == products
    development.interrupt()


def test_an_occupied_port_is_said_before_anything_starts(development: Development) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", development.port))
        occupied.listen()
        process = development.start()
        assert process.wait(SECONDS) == 1
    said = development.output.read_text()
    assert f"127.0.0.1:{development.port} cannot be used" in said
    assert "make dev PORT=8001" in said
    assert "Traceback" not in said
