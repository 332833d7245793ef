"""What containers are given of the product's own files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.templates import checkers
from tests.templates.rendering import SUITES, Case, HostTree, render

PLATFORM = "Debian-12"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> HostTree:
    """Return the tree of the edge's container."""
    case = Case("compose", PLATFORM)
    folder = tmp_path_factory.mktemp("compose")
    render(case, folder)
    return HostTree(case, "edge-1", folder / "edge-1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts the view in which the checkers run")
def test_nginx_takes_the_edges_files(edge: HostTree, certificates: Path) -> None:
    if reason := checkers.unavailable(SUITES[PLATFORM]):
        pytest.skip(reason)
    done = checkers.check(SUITES[PLATFORM], [edge.root, certificates], "nginx", "-t")

    assert done.returncode == 0, done.stdout


def test_the_edge_asks_the_other_container_at_once_and_sends_no_post_twice(edge: HostTree) -> None:
    text = edge.text("etc/nginx/conf.d/shop.conf")

    assert "server unix:/srv/shop/api-1/live.sock max_fails=0;" in text
    assert "server unix:/srv/shop/api-2/live.sock max_fails=0;" in text
    assert "proxy_next_upstream error timeout;\n" in text
    assert "non_idempotent" not in text
    # A connection that is kept would go on to a container whose link is gone.
    assert "keepalive" not in text.partition("upstream shop {")[2].partition("}")[0]


def test_a_container_gets_nothing_of_a_host_below_it(edge: HostTree) -> None:
    assert {path.split("/")[1] for path in edge.paths()} == {"nginx", "systemd"}
