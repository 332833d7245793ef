"""containers/compose.yaml: the service out of the working tree, for whoever works on it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.containers import parts
from tests.containers.engine import ROOT, Engine
from tests.containers.hardened import wait_for
from tests.containers.images import Built

FILE = "compose.yaml"
PORT = 8000
PYTHON = "/srv/environment/venv/bin/python3"
pytestmark = [pytest.mark.long, pytest.mark.containers]


@pytest.fixture(scope="module")
def development(engine: Engine, shop: Built) -> Iterator[Engine]:
    """Return the engine in which it is up."""
    engine.serve()
    parts.load(engine)

    def compose(*words: str) -> str:
        folder, given = ROOT / "containers", {"SLIPWAY_IMAGE": shop.name}
        done = engine.compose("--file", FILE, *words, folder=folder, environment=given)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    compose("up", "--detach")
    yield engine
    compose("down", "--volumes")


def _get(engine: Engine, path: str) -> tuple[int, bytes]:
    made = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    made.sock = engine.namespace.connect("127.0.0.1", PORT)
    try:
        made.request("GET", path)
        answer = made.getresponse()
        return answer.status, answer.read()
    finally:
        made.close()


def test_it_is_seeded_shows_its_docs_and_runs_the_working_tree(development: Engine) -> None:
    def ready() -> bool:
        try:
            return _get(development, "/health/ready")[0] == 200
        except OSError:
            return False

    wait_for(ready, "the service answers")

    assert _get(development, "/docs")[0] == 200
    assert b"DEMO-" in _get(development, "/api/v1/products?limit=1")[1]
    where = "import shop; print(shop.__file__)"
    found = development.podman("exec", "shop-development-service-1", PYTHON, "-c", where)
    assert found == "/work/service/shop/__init__.py"
    assert "--reload" in development.podman("top", "shop-development-service-1", "args")
