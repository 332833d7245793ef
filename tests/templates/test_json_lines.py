"""Lines as JSON over TLS to a sink that is not ours, by each platform's own rsyslogd."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.templates import checkers
from tests.templates.conftest import CASES_BY_NAME, Trees
from tests.templates.json_sink import NAME, Sink
from tests.templates.log_ground import COLLECTOR, Ground, ground, wait_for
from tests.templates.rendering import EVERYTHING, SUITES, HostTree, render

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives rsyslogd a network of its own")

ACCESS, ERROR = "var/log/nginx/access.log", "var/log/nginx/error.log"
POSTGRESQL = "var/log/postgresql/postgresql-14-main.log"
HOST = "shop-1"


class Lines:
    """What a host says, and what of it came."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.sink = ground, Sink(ground)

    def write(self, path: str, *lines: str | bytes) -> None:
        with (self.ground.folder / "sender" / path).open("ab") as log:
            for line in lines:
                log.write((line.encode() if isinstance(line, str) else line) + b"\n")

    def one(self, says: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The one object that came of which says is true."""
        wait_for(lambda: any(map(says, list(self.sink.objects))), 30, lambda: self.show())
        (found,) = filter(says, list(self.sink.objects))
        return found

    def all_came(self, *kinds: str, seconds: float = 60) -> None:
        wait_for(lambda: not any(self.missing(kind) for kind in kinds), seconds, lambda: self.show())

    def missing(self, kind: str) -> set[int]:
        return set(range(self.ground.said[kind])) - self.sink.numbers(kind)

    def show(self) -> str:
        return f"{self.sink.objects[-3:]}\n{self.sink.broken}\n{self.ground.output()}"


@pytest.fixture(params=sorted(SUITES))
def lines(trees: Trees, request: pytest.FixtureRequest) -> Iterator[Lines]:
    """A host with the service, PostgreSQL and nginx, whose rsyslogd is started, and a sink, which is not."""
    suite = SUITES[request.param]
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    tree = trees[f"lab-{request.param}-everything", HOST]
    with tempfile.TemporaryDirectory(prefix="sw") as folder, ground(Path(folder), suite, tree, tree) as made:
        made.configure("sender", tree, **{f'target="{NAME}"': f'target="{COLLECTOR}"'})
        for path in (ERROR, POSTGRESQL):
            (made.folder / "sender" / path).touch()
        made.start("sender")
        yield Lines(made)


def test_each_line_is_one_object_with_the_schemas_names_and_its_own_below_one(lines: Lines) -> None:
    lines.sink.start()
    said = {"event": 'paid "in full"\t\\ ä', "level": "warning", "logger": "shop.orders", "amount": 12.5}
    lines.write("said/shop", json.dumps(said))
    request = {"time": "2026-11-27T10:00:00+00:00", "method": "GET", "uri": '/a?b="c', "status": 404}
    request |= {"client": "192.0.2.7", "agent": "curl/8", "seconds": 0.25}
    lines.write(ACCESS, json.dumps(request))
    lines.write(
        ERROR, "2026/11/27 10:00:00 [crit] 7#7: *1 connect() failed, client: 192.0.2.7, server: shop.example"
    )
    lines.write(POSTGRESQL, '2026-11-27 10:00:00 UTC [7] ERROR:  relation "x" is not there')
    lines.write("said/sshd", "Accepted publickey for ada")

    paid = lines.one(lambda each: each["service.name"] == "shop")
    assert paid["message"] == said["event"]
    assert (paid["host.name"], paid["event.dataset"], paid["log.level"]) == (HOST, "shop.log", "warning")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", paid["@timestamp"])
    assert paid["shop"] == said
    asked = lines.one(lambda each: each["event.dataset"] == "nginx.access")
    assert (asked["http.request.method"], asked["http.response.status_code"]) == ("GET", 404)
    assert (asked["url.original"], asked["client.address"]) == (request["uri"], "192.0.2.7")
    assert (asked["user_agent.original"], asked["nginx"]) == ("curl/8", request)
    assert asked["message"] == 'GET /a?b="c 404'
    failed = lines.one(lambda each: each["event.dataset"] == "nginx.error")
    assert (failed["service.name"], failed["log.level"]) == ("nginx", "crit")
    query = lines.one(lambda each: each["event.dataset"] == "postgresql.log")
    assert (query["service.name"], query["log.level"]) == ("postgresql", "ERROR")
    login = lines.one(lambda each: each["event.dataset"] == "system.auth")
    assert (login["service.name"], login["message"]) == ("sshd", "Accepted publickey for ada")
    assert login["log.level"] == "notice"
    assert not lines.sink.broken


def test_whatever_a_line_has_in_it_it_comes_as_json(lines: Lines) -> None:
    lines.sink.start()
    lines.write(
        "said/shop",
        '{"event": "torn',
        b'{"event": "bytes \xff\xfe of no text", "deep": {"a": [1, null, {"b": "\\u0000"}]}}',
        '{"event": {"not": "a text"}, "level": 7, "message": ""}',
        "{}",
        '{"event": "' + "long " * 6000 + '"}',
    )
    lines.write(ACCESS, "not JSON at all \x01 \x7f", b'{"status": 200, "uri": "\xc3("}', '{"status": ""}')
    lines.write(POSTGRESQL, b"\tat \x00 character \xe9 15", '\\"\\')
    lines.write("said/sshd", b"\xf0\x28\x8c\x28 of nobody", 'user "a\\b"')
    # After each of its own kind.
    for path in ("said/shop", "said/sshd", POSTGRESQL):
        lines.write(path, '{"event": "the last"}')
    lines.write(ACCESS, '{"status": 200, "uri": "/last"}')

    for ends in ("shop.log", "system.auth", "postgresql.log"):
        lines.one(lambda each, ends=ends: each["event.dataset"] == ends and "the last" in each["message"])  # type: ignore[misc]
    lines.one(lambda each: each.get("url.original") == "/last")
    assert not lines.sink.broken
    assert len(lines.sink.objects) == 5 + 3 + 2 + 2 + 4


def test_kept_lines_wait_while_the_sink_is_away_and_rsyslogd_is_killed(lines: Lines) -> None:
    for kind in ("shop", "auth", "nginx-access"):
        lines.ground.say(kind, 200)
    wait_for(lambda: lines.ground.read("shop") == 200, 30, lines.ground.output)
    lines.ground.end("sender", signal.SIGKILL)
    lines.ground.say("shop", 100)
    lines.ground.start("sender")
    lines.sink.start()

    lines.all_came("shop", "auth")


@pytest.mark.long
@pytest.mark.parametrize(
    "refused", [{"days": 0}, {"name": "other.example"}, {"authority": "another"}], ids=str
)
def test_lines_wait_while_the_sinks_certificate_is_refused_and_come_when_it_is_right(
    lines: Lines, refused: dict[str, Any]
) -> None:
    lines.sink.start(**refused)
    for kind in ("shop", "auth"):
        lines.ground.say(kind, 100, seconds=5)
    wait_for(lambda: lines.ground.read("shop") == 100, 30, lines.ground.output)
    assert not lines.sink.objects

    lines.sink.stop()
    lines.sink.start()
    lines.all_came("shop", "auth")


@pytest.mark.long
def test_a_sink_that_dies_loses_what_was_on_its_way_and_no_more(lines: Lines) -> None:
    """Nobody answers: RELP to the logs host is what loses nothing. 0 to 4 of 1 802 were, one that hangs loses more."""
    lines.sink.start()
    lines.ground.say("shop", 1)
    lines.all_came("shop")
    for _ in range(6):
        lines.ground.say("shop", 200, seconds=1)
        lines.sink.stop()
        lines.ground.say("shop", 100, seconds=2)
        lines.sink.start()
    lines.ground.say("shop", 1)
    wait_for(lambda: lines.ground.said["shop"] - 1 in lines.sink.numbers("shop"), 90, lines.show)
    time.sleep(1)

    lost = lines.missing("shop")
    print(f"{len(lost)} of {lines.ground.said['shop']} lost in six deaths: {sorted(lost)}")
    assert len(lost) <= 6 * 10
    assert not lines.sink.broken


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("platform", sorted(SUITES))
def test_lines_go_to_the_logs_host_beside_a_sink_that_is_away(tmp_path: Path, platform: str) -> None:
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)
    case = CASES_BY_NAME[f"fleet-{platform}"]
    named = {name: value for name, value in EVERYTHING.items() if name.startswith("rsyslog_json_")}
    render(case, tmp_path, **named)
    sender, collector = (HostTree(case, host, tmp_path / host) for host in ("app-1", "logs-1"))
    kinds = ("shop", "auth", "nginx-access")
    with (
        tempfile.TemporaryDirectory(prefix="sw") as folder,
        ground(Path(folder), case.suite, sender, collector) as made,
    ):
        made.configure("sender", sender, **{f'target="{NAME}"': f'target="{COLLECTOR}"'})
        made.start("collector", "sender")
        for kind in kinds:
            made.say(kind, 200)
        made.all_came(*kinds)

        lines = Lines(made)
        lines.sink.start()
        lines.all_came(*kinds)
        assert not lines.sink.broken
