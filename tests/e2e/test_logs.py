"""Logs: one JSON object a line, and none lost."""

import json

import pytest

from tests.e2e import hosts
from tests.e2e.web import Site
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

BURST = 2000
SERVICE, ACCESS = "/var/log/shop/shop.log", "/var/log/nginx/access.log"


def lines(host: Host, log: str) -> list[str]:
    """Return the lines of a log, those that were rotated away first."""
    return hosts.output(host, f"cat $(ls -r {log} {log}.1 2>/dev/null)").splitlines()


@pytest.mark.parametrize("log", [SERVICE, ACCESS])
def test_every_line_is_one_json_object(host: Host, site: Site, log: str) -> None:
    site.get('/nothing/"quoted"\\and%7Fodd', User_Agent='an "agent" with \\ and \t')
    hosts.until("there are lines", lambda: lines(host, log), seconds=10)
    for line in lines(host, log):
        try:
            assert isinstance(json.loads(line), dict), line
        except ValueError as fault:
            raise AssertionError(f"{fault} in the line\n{line}") from fault


def test_a_line_of_the_service_says_when_what_and_which_release(host: Host, site: Site) -> None:
    site.get("/api/v1/products?limit=1", X_Request_ID="a-line-of-the-service")
    line = json.loads(
        hosts.until(
            "the request's line is there",
            lambda: host.run(f"grep a-line-of-the-service {SERVICE}").stdout,
            seconds=10,
        )
    )
    assert line["release"] == hosts.live_release(host)
    assert (line["event"], line["level"], line["status"]) == ("request", "info", 200)
    assert line["timestamp"].endswith("Z")


def test_a_burst_loses_no_line_while_logs_are_rotated(host: Host, site: Site) -> None:
    answers = hosts.python(host, "burst.py", address=site.address, requests=BURST, rotate=True)
    assert answers["statuses"] == {"200": BURST}, answers
    wanted = {f"burst-{number:05}" for number in range(BURST)}
    for log in (SERVICE, ACCESS):
        hosts.output(host, f"test -s {log}.1")

        def missing(log: str = log) -> set[str]:
            return wanted - {json.loads(line).get("request_id", "") for line in lines(host, log)}

        hosts.until(
            f"every request is in {log}",
            lambda missing=missing: not missing(),  # type: ignore[misc]
            seconds=30,
            show=lambda missing=missing: f"{len(missing())} are not, such as {sorted(missing())[:5]}",  # type: ignore[misc]
        )


def test_lines_go_on_in_the_new_file_after_a_rotation(host: Host, site: Site) -> None:
    hosts.output(host, "logrotate --force /etc/logrotate.d/shop /etc/logrotate.d/nginx")
    site.get("/api/v1/products?limit=1", X_Request_ID="after-the-rotation")
    for log in (SERVICE, ACCESS):
        hosts.until(
            f"the request is in {log}",
            lambda log=log: host.run(f"grep after-the-rotation {log}").stdout,  # type: ignore[misc]
            seconds=10,
            show=lambda log=log: host.run(f"ls -l {log}*; systemctl status rsyslog").stdout,  # type: ignore[misc]
        )
