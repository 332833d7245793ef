"""containers/compose.production.yaml, up in the tests' engine, with secrets of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.containers import images, parts
from tests.containers.engine import ROOT, Engine
from tests.containers.images import Built
from tests.e2e import load
from tests.e2e.web import Response, Site
from tests.lab import compose
from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK

FILES = ("compose.production.yaml", "database", "traffic.py")
SLOTS = ("api-1", "api-2")
PROJECT = "com.docker.compose.project=shop"
# What a release of the same code is made of: another name, and a label that says it.
AGAIN = """\
FROM {image}
USER 0
RUN ["sed", "-i", "s/{release}/{again}/g", "/srv/release/start", "/srv/release/manifest.json"]
{further}USER 10001:10001
LABEL org.slipway.release={again}
"""
BROKEN = """RUN ["sed", "-i", "s/import uvicorn$/sys.exit('It cannot start.')/", "/srv/release/start"]\n"""


class Edge(Site):
    """The public site, as whoever is on the machine reaches it."""

    engine: Engine

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Ask over HTTPS, from the engine's network."""
        with self.engine.namespace.network():
            return super().request(method, path, headers, body)


class Production:
    """folder: the compose files, and what make secrets made beside them."""

    def __init__(self, engine: Engine, folder: Path, shop: Built) -> None:
        self.engine, self.folder, self.shop = engine, folder, shop
        for name in FILES:
            here, there = ROOT / "containers" / name, folder / name
            shutil.copytree(here, there) if here.is_dir() else shutil.copy(here, there)
        self.make_secrets()
        self.site = Edge("localhost:8443", folder / "state/certificates/ca.pem")
        object.__setattr__(self.site, "engine", engine)
        self.environment = {
            "SLIPWAY_CONTAINERS": str(folder),
            "SLIPWAY_COMPOSE": str(compose.program()),
            "SLIPWAY_ENGINE": "podman",
            "PYTHONPATH": str(ROOT),
        }

    def make_secrets(self) -> str:
        """Run the command that makes secrets; what it says."""
        words = ["playbooks/compose.yml", "-e", f"compose_folder={self.folder}"]
        done = subprocess.run(
            [ANSIBLE_PLAYBOOK, "--inventory", "inventory/compose", *words],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fab(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A task of fab, on the machine of the containers."""
        return self.engine.run(
            sys.executable, "-m", "fabfile", *words, folder=ROOT, environment=self.environment, seconds=300
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The same, under way."""
        argv = [sys.executable, "-m", "fabfile", *words]
        return subprocess.Popen(
            self.engine.namespace.command(argv, ROOT),
            env={**os.environ, **self.engine.environment, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def deploy(self, release: str) -> None:
        done = self.fab("image-deploy", f"--to={release}")
        assert done.returncode == 0, done.stdout + done.stderr

    def compose(self, *words: str) -> str:
        """What docker-compose prints, for the production file."""
        done = self.engine.compose("--file", FILES[0], *words, folder=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def release(self, number: int, further: str = "") -> str:
        """A release of the same code, in an image of its own."""
        again = f"20990101T00000{number}Z-{self.shop.bundle.release[-7:]}"
        text = AGAIN.format(
            image=self.shop.name, release=self.shop.bundle.release, again=again, further=further
        )
        done = self.engine.run(
            "podman", "build", "--quiet", "--no-cache", "--network=none", "--format=docker",
            f"--tag=localhost/shop:{again}", "-", stdin=text,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return again

    def container(self, service: str) -> dict[str, Any]:
        return self.engine.inspect(f"shop-{service}-1")

    def releases(self) -> list[str]:
        """What each of the service's containers is."""
        return [self.container(slot)["Config"]["Labels"]["org.slipway.release"] for slot in SLOTS]

    def database(self) -> psycopg.Connection[Any]:
        """A session of the service's own role, over TLS, from beside the container."""
        address = next(iter(self.container("database")["NetworkSettings"]["Networks"].values()))["IPAddress"]
        with self.engine.namespace.network():
            return psycopg.connect(
                host="database",
                hostaddr=address,
                dbname="shop",
                user="shop",
                password=(self.folder / "state/secrets/database_password").read_text(),
                sslmode="verify-full",
                sslrootcert=str(self.folder / "state/certificates/ca.pem"),
                autocommit=True,
            )

    def wait(self, good: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
        """Until it is so; fails with what was waited for."""
        end = time.monotonic() + seconds
        while not _true(good):
            assert time.monotonic() < end, (
                f"after {seconds:g} s not yet: {what}\n{self.compose('ps', '--all')}"
            )
            time.sleep(0.1)

    def customers(self, clients: int) -> Customers:
        return Customers(self, clients)


class Customers(load.Shop):
    """The oracle of the hosts' rollouts, beside containers."""

    def __init__(self, production: Production, clients: int) -> None:
        self.production = production
        super().__init__(production.site, None, clients)

    def sql(self, statement: str) -> str:
        with self.production.database() as session:
            found = session.execute(statement)
            rows = found.fetchall() if found.description else []
        return "\n".join("|".join(map(str, row)) for row in rows)

    def load(self, rate: float) -> load.Load:
        made = super().load(rate)
        made.there = lambda argv: self.production.engine.namespace.command(argv, ROOT)
        return made


def _true(good: Callable[[], bool]) -> bool:
    try:
        return good()
    except (OSError, AssertionError):
        return False


def up(engine: Engine, folder: Path, shop: Built) -> Production:
    """All of it, serving; nothing of an earlier run is left."""
    engine.serve()
    images.base(engine)
    parts.load(engine)
    # Containers end with the engine; what an earlier run had in its volumes stays.
    for volume in engine.podman("volume", "ls", "--quiet", f"--filter=label={PROJECT}").split():
        engine.podman("volume", "rm", volume)
    made = Production(engine, folder, shop)
    made.deploy(shop.bundle.release)
    return made
