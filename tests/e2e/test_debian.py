"""Debian 12, the second platform: the main path, and what is Debian's alone. What is refused is asked here, too."""

import pytest

from tests.e2e.ansible_runs import Playbooks
from tests.lab.lab import Lab
from tests.lab.platforms import DEBIAN

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


def test_a_bare_host_lives_as_it_should(debian: Lab, debian_life: str) -> None:
    assert debian.site.platform is DEBIAN
    print(debian_life)


def test_mirrors_with_nothing_behind_them_are_refused(debian: Lab) -> None:
    run = Playbooks(debian.site.inventory).run(
        "site.yml", apt_sources_mirrors=["http://mirror.example/debian"], apt_sources_fallback=""
    )
    run.refused().says("apt_sources_mirrors is set on Debian, but apt_sources_fallback is not")
    assert run.changed == 0, run
