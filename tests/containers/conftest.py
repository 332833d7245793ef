"""One engine for all tests of a run; what it keeps of an earlier run are images and layers, no container."""

from collections.abc import Iterator

import pytest

from tests.containers import engine as engines
from tests.containers import images
from tests.containers import production as productions
from tests.containers.engine import ROOT, Engine
from tests.lab.errors import LabError


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Return the engine; a machine that cannot have one skips, and says why."""
    try:
        running = engines.running()
        found = running.__enter__()
    except LabError as error:
        pytest.skip(str(error))
    try:
        yield found
    finally:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def shop(engine: Engine) -> images.Built:
    """Return the bundled service's image."""
    return images.build(engine, images.bundle())


@pytest.fixture(scope="session")
def notes(engine: Engine) -> images.Built:
    """Return the image of an example: a database, a worker, settings under names of its own."""
    return images.build(engine, images.bundle(ROOT / "examples/notes"))


@pytest.fixture(scope="session")
def hello(engine: Engine) -> images.Built:
    """Return the image of the smallest example, which has no database."""
    return images.build(engine, images.bundle(ROOT / "examples/hello"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say of the main path whose share it is, for the table of make test."""
    for item in items:
        if item.get_closest_marker("containers") and item.get_closest_marker("share"):
            item.user_properties.append(("share", "containers"))


@pytest.fixture(scope="session")
def production(
    engine: Engine, shop: images.Built, tmp_path_factory: pytest.TempPathFactory
) -> productions.Production:
    """Return the production compose file, serving the shop's release."""
    return productions.up(engine, tmp_path_factory.mktemp("containers"), shop)
