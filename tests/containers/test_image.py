"""The image of a release: what is in it, what it says of itself, and what it takes to be made."""

from __future__ import annotations

import pytest

from tests.containers.engine import Engine
from tests.containers.images import Built

MOST_BYTES = 220_000_000

pytestmark = [pytest.mark.long, pytest.mark.containers]


@pytest.mark.share
def test_it_is_called_after_its_release_and_says_of_which_bundle_it_is(engine: Engine, shop: Built) -> None:
    found = engine.inspect(shop.name, "image")

    labels = found["Labels"]
    assert shop.name == f"localhost/shop:{shop.bundle.release}"
    assert labels["org.slipway.release"] == labels["org.opencontainers.image.version"] == shop.bundle.release
    assert labels["org.slipway.bundle-sha256"] == shop.bundle.sha256
    assert labels["org.slipway.git-sha"].startswith(shop.bundle.release.rpartition("-")[2])


@pytest.mark.share
def test_it_is_small(engine: Engine, shop: Built) -> None:
    size = engine.inspect(shop.name, "image")["Size"]

    print(f"unpacked: {size / 1e6:.0f} MB")
    assert size <= MOST_BYTES
