"""A second service for a host: the bundled one under another name, an inventory of its own, and people who visit it."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from fabfile.bundle import archive
from tests.e2e.ansible_runs import ROOT
from tests.e2e.fab_runs import BUNDLES, MOMENTS

APP, NAME, PUBLIC = "stall", "test-beside", "stall.test"
# All that its inventory says because of the service that the host has already.
BESIDE: dict[str, Any] = {
    "app_name": APP,
    "nginx_server_names": [PUBLIC],
    "nginx_default_server": False,
    "nginx_metrics_port": 9146,
    "certificates_folder": f"/etc/ssl/slipway/{APP}",
    "postgresql_cluster": APP,
    "postgresql_port": 5433,
}
BUNDLED = re.compile(r"(?<![A-Za-z])(shop|SHOP)(?![A-Za-z])")
PATIENCE, PACE = 15.0, 0.1


@contextmanager
def inventory(base: Path, **says: Any) -> Iterator[Path]:
    """An inventory of the same host as base's, for the second service; says: beyond base's own values."""
    folder = ROOT / "inventory" / NAME
    shutil.copytree(base, folder, dirs_exist_ok=True)
    (folder / "group_vars/all/zz_beside.yml").write_text(yaml.safe_dump(says))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def bundle(scratch: Path) -> Path:
    """Build the bundled service under the second one's name; return its bundle."""
    clone = scratch / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    service = clone / "service"
    for path in sorted(service.rglob("*"), reverse=True):
        if path.is_file() and not path.is_symlink():
            _rename_inside(path)
        if path.name == "shop":
            path.rename(path.with_name(APP))
    git = ["git", "-C", str(clone), "-c", "user.name=Tests", "-c", "user.email=tests@shop.example"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--no-verify", "--message=Another name"], check=True)
    return archive.build(
        service=service, output=BUNDLES, built_at=MOMENTS.next(), cache=ROOT / "build/wheelhouse"
    ).path


def _rename_inside(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    path.write_text(
        BUNDLED.sub(lambda found: APP if found[1].islower() else APP.upper(), text), encoding="utf-8"
    )


@dataclass
class Visitors:
    """Use as a context: each asks again and again, over one connection or with keep=False a new one each time.

    answers: how many had which status; losses: requests without a whole answer, each with its reason.
    """

    address: str
    ca: Path
    name: str
    path: str = "/api/v1/products?limit=1"
    people: int = 2
    keep: bool = True
    answers: Counter[int] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def __enter__(self) -> Visitors:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(self.people)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE * 2)

    def lost_nothing(self) -> None:
        """Fail unless somebody was answered, and everybody with 200."""
        assert sum(self.answers.values()) > 0, "nobody was answered: nobody asked"
        assert (set(self.answers), self.losses) == ({200}, []), str(self)

    def __str__(self) -> str:
        return f"{self.name}: answers {dict(self.answers)}, {len(self.losses)} lost {self.losses[:5]}"

    def _visit(self) -> None:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection: http.client.HTTPConnection | None = None
        while not self._ended.wait(PACE):
            try:
                if connection is None:
                    connection = self._connected(context)
                connection.request("GET", self.path, headers={"Host": self.name})
                said = connection.getresponse()
                said.read()
                self.answers[said.status] += 1
                if said.will_close or not self.keep:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as failure:
                self.losses.append(f"{time.time():.3f} {type(failure).__name__}: {failure}")
                connection = None

    def _connected(self, context: ssl.SSLContext) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.name, timeout=PATIENCE)
        plain = socket.create_connection((self.address, 443), timeout=PATIENCE)
        connection.sock = context.wrap_socket(plain, server_hostname=self.name)
        return connection
