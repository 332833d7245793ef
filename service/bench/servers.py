"""One PostgreSQL and the servers of the comparison, one uvicorn worker each, and what /proc says of them."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio

from shop.settings import Settings
from tests.postgresql import Cluster

SERVICE = Path(__file__).resolve().parent.parent
PRODUCTS = 50_000
START_TIMEOUT = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
DATABASE = "bench"
SECRET = secrets.token_urlsafe(36)
ROWS = f"""
INSERT INTO products (id, sku, name, category, price, stock)
SELECT ('019b76da-b000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'SKU-' || n, 'Product number ' || n,
       'category ' || n % 20, 1 + n % 1000 * 0.07, 1000000
FROM generate_series(1, {PRODUCTS}) AS n
"""


def product_id(number: int) -> str:
    """The id of the product with this number, from 1; ids rise with the numbers."""
    return str(uuid.UUID(f"019b76da-b000-7000-8000-{number:012x}"))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process: of its threads to the nanosecond, of its ended children to the kernel's tick."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return total + sum(int(value) for value in fields[13:15]) / TICKS


def resident_bytes(pid: int) -> int:
    """The memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Database:
    """A cluster with the service's schema and the rows every server reads."""

    def __init__(self) -> None:
        self.cluster = Cluster()

    def start(self) -> None:
        """Create, migrate and fill the database."""
        self.cluster.create()
        with (self.cluster.data / "postgresql.conf").open("a") as configuration:
            configuration.write("autovacuum = off\nshared_buffers = 256MB\n")
        self.cluster.start()
        self.run(self.cluster.create_roles)
        self.run(self.cluster.create_database, DATABASE)
        self.migrate()
        self.execute(ROWS, "VACUUM ANALYZE")

    def migrate(self) -> None:
        """Bring it to this checkout's schema, as a unit does."""
        with tempfile.TemporaryDirectory() as credentials:
            Path(credentials, "migrate_database_password").write_text(self.cluster.migrate_password)
            environ = {
                "CREDENTIALS_DIRECTORY": credentials,
                "SHOP_ENVIRONMENT": "test",
                "SHOP_DATABASE_HOST": str(self.cluster.socket_directory),
                "SHOP_DATABASE_PORT": str(self.cluster.port),
                "SHOP_DATABASE_NAME": DATABASE,
            }
            command = [sys.executable, "-m", "slipway_migrator", "migrate"]
            subprocess.run(command, cwd=SERVICE, env=environ, check=True, stdout=subprocess.DEVNULL)

    def run(self, function: Any, *arguments: object) -> Any:
        """Call an async function of the cluster."""
        return anyio.run(function, *arguments)

    def execute(self, *statements: str) -> None:
        """Run statements as superuser, where the service's tables are."""
        self.run(self.cluster.execute, DATABASE, "SET search_path = shop", *statements)

    def fetch(self, query: str) -> list[Any]:
        """The rows of one query as superuser."""
        rows: list[Any] = self.run(self.cluster.fetch, DATABASE, query)
        return rows

    def settings(self, **changes: Any) -> Settings:
        """Settings of the service on this database."""
        values: dict[str, Any] = {
            "environment": "test",
            "release": "bench",
            "database_host": str(self.cluster.socket_directory),
            "database_port": self.cluster.port,
            "database_name": DATABASE,
            "database_password": self.cluster.password,
            "migrate_database_password": self.cluster.migrate_password,
            "secret_key": SECRET,
        }
        return Settings(**{**values, **changes})

    def cpu_seconds(self) -> float:
        """CPU time of the whole PostgreSQL server. A backend that ends meanwhile is counted by its parent."""
        postmaster = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        total = cpu_seconds(postmaster)
        for pid in children(postmaster):
            with suppress(OSError):
                total += cpu_seconds(pid)
        return total


@dataclass
class Server:
    """One server of the comparison: `letter` is its column, `factory` what uvicorn is given."""

    letter: str
    name: str
    factory: str
    python: str
    environ: dict[str, str]
    directory: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def socket(self) -> str:
        """The Unix socket it listens on."""
        return str(self.directory / f"{self.name}.sock")

    @property
    def pid(self) -> int:
        """The one process that serves: uvicorn with one worker starts no other."""
        return cast("subprocess.Popen[bytes]", self.process).pid

    def start(self) -> None:
        """Start it and wait until it listens. Its output, the access log, goes to /dev/null."""
        command = [
            self.python, "-m", "uvicorn", "--factory", self.factory, "--uds", self.socket, "--workers", "1",
            "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "on",
            "--timeout-keep-alive", "75", "--proxy-headers", "--forwarded-allow-ips", "*",
            "--no-access-log", "--no-server-header", "--log-level", "warning",
        ]  # fmt: skip
        errors = self.directory / f"{self.name}.err"
        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, env=self.environ, cwd=SERVICE, stdout=subprocess.DEVNULL, stderr=stderr
            )
        deadline = time.monotonic() + START_TIMEOUT
        with socket.socket(socket.AF_UNIX) as connection:
            while connection.connect_ex(self.socket) != 0:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} did not start:\n{errors.read_text()}")
                time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after ten seconds."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class Stage:
    """The database and the servers; leave it and nothing of them is left."""

    def __init__(self, baseline_python: str) -> None:
        self.baseline_python = baseline_python
        self.database = Database()
        self._stack = ExitStack()

    def __enter__(self) -> "Stage":
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-bench-")))
        self._stack.callback(self.database.cluster.remove)
        try:
            self.database.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _environ(self, name: str, changes: dict[str, str]) -> dict[str, str]:
        cluster = self.database.cluster
        credentials = self.directory / "credentials"
        credentials.mkdir(exist_ok=True)
        # As in production: the values of the metrics are files, and somebody may ask for them.
        metrics = self.directory / f"{name}-metrics"
        metrics.mkdir()
        (credentials / "database_password").write_text(cluster.password)
        (credentials / "secret_key").write_text(SECRET)
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SERVICE),
            "PYTHONDONTWRITEBYTECODE": "1",
            # libpq's name for it; the service calls its connections after its release.
            "PGAPPNAME": f"shop/{name}",
            "CREDENTIALS_DIRECTORY": str(credentials),
            "BENCH_PASSWORD": cluster.password,
            "SHOP_ENVIRONMENT": "production",
            "SHOP_RELEASE": name,
            "SHOP_DATABASE_HOST": str(cluster.socket_directory),
            "SHOP_DATABASE_PORT": str(cluster.port),
            "SHOP_DATABASE_NAME": DATABASE,
            "SHOP_METRICS_ADDRESS": str(metrics / "http.sock"),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            **changes,
        }

    def server(self, letter: str, name: str, factory: str, **changes: str) -> Server:
        """A started server; it is stopped with the stage at the latest."""
        python = self.baseline_python if letter == "B" else sys.executable
        server = Server(letter, name, factory, python, self._environ(name, changes), self.directory)
        self._stack.callback(server.stop)
        server.start()
        return server
