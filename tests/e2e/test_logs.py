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


def test_a_log_that_has_grown_does_not_wait_for_its_day(host: Host) -> None:
    """logrotate as its timer runs it, with logs that others write."""
    grown = "/var/log/nginx/error.log /var/log/kern.log"
    timer = hosts.output(host, "systemctl show --property=TimersCalendar logrotate.timer")
    assert "OnCalendar=*-*-* *:00/5:00" in timer, timer
    hosts.output(host, f"touch {grown}; systemctl start logrotate.service")
    hosts.output(host, f"truncate --size=+250M {grown}")
    try:
        hosts.output(host, "systemctl start logrotate.service")
        sizes = [int(size) for size in hosts.output(host, f"stat --format=%s {grown}").split()]
    finally:
        hosts.output(host, f"truncate --size=0 {' '.join(f'{log}.1' for log in grown.split())}")
    assert max(sizes) < 1 << 20, sizes


def test_nothing_that_rsyslog_writes_grows_without_end(host: Host) -> None:
    """What is lost is lost until the file is rotated; rsyslogd says so and goes on with all others."""
    limit = 1 << 30
    assert hosts.output(host, "systemctl show --property=LimitFSIZE --value rsyslog.service").strip() == str(
        limit
    )
    log = "/var/log/mail.log"
    hosts.output(host, f"logger -p mail.info the first; truncate --size={limit - 10} {log}")
    try:
        hosts.output(host, "for n in $(seq 20); do logger -p mail.info beyond its limit; done")
        hosts.output(host, "logger -p cron.info beside a full file")
        hosts.until(
            "another file goes on",
            lambda: host.run("grep 'beside a full file' /var/log/syslog").stdout,
            seconds=10,
        )
        assert int(hosts.output(host, f"stat --format=%s {log}")) <= limit
    finally:
        hosts.output(host, f"truncate --size=0 {log}; systemctl kill --signal=HUP rsyslog.service")
