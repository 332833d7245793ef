"""Files that nginx serves by itself: the live release's, at every moment one release's or the other's."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.once import made_once
from tests.templates import checkers
from tests.templates.conftest import RELEASE
from tests.templates.rendering import SUITES, Case, render
from tests.templates.test_nginx_answers import Site, running
from tests.unit.slipway import support

from slipway.cli import main  # isort: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks the platforms' own nginx")

# By the socket, and behind an edge: the inventory, its host, the file of the site, and whose nginx.
SITES = {
    "by socket": ("lab", "shop-1", "shop.conf", "Ubuntu-22"),
    "behind the edge": ("fleet", "app-1", "shop-private.conf", "Debian-12"),
}
SWITCHES = 300


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    name = request.param
    inventory, host, config, platform = SITES[name]
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)
    case = Case(inventory, platform)
    folder: Path = made_once(
        tmp_path_factory,
        f"static-{case.name}",
        lambda folder: render(case, folder, render_only=["nginx"], nginx_static="/static/"),
    )
    with running(folder / host, config, platform, name == "behind the edge") as found:
        support.install_release(found.host, support.OTHER)
        for release in (RELEASE, support.OTHER):
            files = found.host.release(release) / "venv/lib/python3.10/site-packages/shop/static"
            files.mkdir(parents=True)
            (files / "app.js").write_text(release)
            (found.host.release(release) / "public").mkdir()
            (found.host.release(release) / "public/static").symlink_to(files)
        yield found


def switch(site: Site, release: str) -> None:
    """As slipway does it."""
    current = site.host.root / "srv/shop/current"
    new = current.with_name("new")
    new.symlink_to(f"releases/{release}")
    os.rename(new, current)


def test_the_files_are_the_live_releases_and_each_answer_is_one_releases(site: Site) -> None:
    answer, body = site.ask(path="/static/app.js")
    assert (answer.status, body) == (200, RELEASE.encode())
    assert answer.getheader("Cache-Control") == "no-cache"
    assert answer.getheader("X-Content-Type-Options") == (None if site.behind_edge else "nosniff")
    ended, seen = threading.Event(), []

    def ask() -> None:
        connection = site.connection()
        while not ended.is_set():
            connection.request("GET", "/static/app.js")
            said = connection.getresponse()
            seen.append((said.status, said.read().decode()))

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(SWITCHES):
        switch(site, (support.OTHER, RELEASE)[number % 2])
    ended.set()
    asking.join()

    assert {said for said in seen if said[0] != 429} <= {(200, RELEASE), (200, support.OTHER)}
    switch(site, support.OTHER)
    assert asked_again(site, "/static/app.js")[1] == support.OTHER.encode()


def asked_again(site: Site, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Asked until it is not too often."""
    while True:
        answer, body = site.ask(path=path)
        if answer.status != 429:
            return answer, body


def test_what_is_no_file_of_it_the_service_is_asked_for(site: Site) -> None:
    for path in ("/static/none.js", "/static/"):
        answer, _ = site.ask(path=path)
        assert answer.getheader("X-Release") == RELEASE, path
    for path in ("/static/../manifest.json", "/static/..%2f..%2fmanifest.json", "/static../manifest.json"):
        assert b"git_sha" not in site.ask(path=path)[1]


def test_maintenance_is_told_there_too(site: Site) -> None:
    assert main(["maintenance", "on", "--message", "Back at 5"], site.host) == 0
    assert site.ask(path="/static/app.js")[0].status == 503


def test_a_drained_host_sends_them_and_closes_the_connection(site: Site) -> None:
    if not site.behind_edge:
        assert "drained" not in (site.socket.parent / "site.conf").read_text()
        return
    site.host.drained.write_text("{}")
    answer, body = site.ask(path="/static/app.js")
    assert (answer.getheader("Connection"), body) == ("close", RELEASE.encode())
    answer, _ = site.ask(path="/static/none.js")
    assert (answer.getheader("Connection"), answer.getheader("X-Release")) == ("close", RELEASE)
