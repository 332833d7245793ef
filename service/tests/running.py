"""The service as the systemd unit runs it: uvicorn, workers, a Unix socket, JSON on stdout."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from conftest import SERVICE

START_TIMEOUT = 90.0
STOP_TIMEOUT = 25.0
LOGGING = SERVICE / "shop" / "core" / "logging.json"
# linux/prctl.h: what systemd's MemoryDenyWriteExecute= asks the kernel for, since Linux 6.3.
PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1


def deny_write_execute() -> None:
    """Refuse memory that is writable and executable, to this process and its children."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_MDWE) failed")


class Service:
    """One running release; `directory` takes its socket and its output."""

    def __init__(self, directory: Path, environ: dict[str, str], *, deny_memory: bool = False) -> None:
        self.socket = directory / "http.sock"
        self.output = directory / "output.jsonl"
        command = [
            sys.executable, "-m", "uvicorn", "--factory", "shop.main:application",
            "--uds", str(self.socket), "--workers", environ.get("SHOP_WORKERS", "2"),
            "--loop", "uvloop", "--http", "httptools", "--ws", "none",
            "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "20",
            "--proxy-headers", "--forwarded-allow-ips", "*",
            "--header", f"X-Release:{environ['SHOP_RELEASE']}",
            "--no-access-log", "--no-server-header", "--log-config", str(LOGGING),
        ]  # fmt: skip
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=environ,
                stdout=output,
                stderr=output,
                cwd="/",
                preexec_fn=deny_write_execute if deny_memory else None,
            )

    def client(self) -> httpx2.Client:
        """A client that talks to the socket, as nginx does."""
        return httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(self.socket)), base_url="http://shop.test"
        )

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def wait_until_ready(self) -> None:
        """Wait for /health/ready; what the service wrote explains a failure."""
        deadline = time.monotonic() + START_TIMEOUT
        answer = "nothing"
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._listens():
                with self.client() as client:
                    response = client.get("/health/ready")
                if response.status_code == 200:
                    return
                answer = response.text
            time.sleep(0.1)
        raise AssertionError(f"The service is not ready. Last answer: {answer}\n{self.output.read_text()}")

    def raw(self, request: bytes) -> bytes:
        """What the service answers to exactly these bytes, until it closes or falls silent for 2 s."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(self.socket))
            connection.sendall(request)
            try:
                while part := connection.recv(65536):
                    answer += part
            except TimeoutError:
                pass
        return answer

    def events(self) -> list[dict[str, Any]]:
        """Everything the service wrote, one event a line; a line that is not JSON is a failure."""
        events = []
        for line in self.output.read_bytes().decode().split("\n")[:-1]:
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                raise AssertionError(f"This line of the log is not JSON: {line!r}") from None
        return events

    def workers(self) -> list[int]:
        """The pids of the workers: children of the parent that answer requests."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return [int(pid) for pid, name in names.items() if b"spawn_main" in name]

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                for pid in [*self.workers(), self.process.pid]:
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()
                raise
        return self.process.returncode
