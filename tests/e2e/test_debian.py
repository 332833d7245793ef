"""Debian 12, the second platform: the main path, and what is Debian's alone."""

from collections.abc import Iterator

import pytest

from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import boot
from tests.e2e.life import lives
from tests.lab.lab import Lab
from tests.lab.platforms import DEBIAN

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def debian() -> Iterator[Lab]:
    """A lab of one host that boots Debian, as root."""
    for lab in boot("SLIPWAY_E2E_DEBIAN", "inventory/debian"):
        assert lab.site.platform is DEBIAN
        yield lab


def test_mirrors_with_nothing_behind_them_are_refused(debian: Lab) -> None:
    run = Playbooks(debian.site.inventory).run(
        "site.yml", apt_sources_mirrors=["http://mirror.example/debian"], apt_sources_fallback=""
    )
    run.refused().says("apt_sources_mirrors is set on Debian, but apt_sources_fallback is not")
    assert run.changed == 0, run


def test_a_bare_host_lives_as_it_should(debian: Lab) -> None:
    print(lives(debian))
