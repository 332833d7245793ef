"""Which servers a test runs on: the one that Ubuntu 22.04 brings; each of 14 to 17 where what it shows can differ."""

from __future__ import annotations

import pytest

from tests.database import clusters
from tests.database.clusters import USUAL, VERSIONS

# It has the host's program found, whichever tests run beside these.
from tests.unit.slipway import support as support

MARK, LARGE = "every_version", "catalogue"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARK}(why, of=versions): runs on servers of 14 to 17 (or of those), because what it shows is theirs",
    )
    config.addinivalue_line(
        "markers", f"{LARGE}: makes a large catalogue, in half a minute; -m 'not {LARGE}' leaves it out"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "version" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker(MARK)
    assert mark is None or mark.args, f"{metafunc.definition.nodeid}: {MARK} needs its reason"
    versions = mark.kwargs.get("of", VERSIONS) if mark else (USUAL,)
    metafunc.parametrize("version", versions, ids=[f"pg{each}" for each in versions], scope="session")


def pytest_unconfigure() -> None:
    clusters.leave()
