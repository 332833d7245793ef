"""The same rules with less patience: what stands for minutes is judged in seconds, by the same expressions.

Prometheus and Alertmanager alone see the hurried files, in views of their own: the host's are as Slipway wrote them.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.e2e import hosts
from tests.lab.host import Host

# Five minutes of healthy load are an hour of it.
FACTOR = 12
# No condition has to stand for longer than that, though its twelfth were days.
LONGEST = 30
# Of a range: four samples, five seconds apart.
SHORTEST = 20
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Looks come each 15 seconds instead of each minute, rsyslogd's each 30 as ever: they are old after this.
OLD = re.compile(r"(time\(\) - slipway_\w+_timestamp_seconds|slipway_log_queue_waiting_seconds) > [36]00\b")
FOLDER = "/run/slipway-haste"
RULES, ROUTES = "/etc/prometheus/rules/slipway.yml", "/etc/prometheus/alertmanager.yml"
UNIT = """\
[Service]
BindReadOnlyPaths={folder}/{name}:{path}
EnvironmentFile={folder}/{unit}.env
"""


def hurried(rules: dict[str, Any]) -> dict[str, Any]:
    """A rules file's object in haste."""
    groups = [{**group, "rules": [_rule(rule) for rule in group["rules"]]} for group in rules["groups"]]
    return {"groups": groups}


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    expr = re.sub(
        r"\[(\w+)\]", lambda found: f"[{max(_seconds(found[1]) // FACTOR, SHORTEST)}s]", rule["expr"]
    )
    hasty = {**rule, "expr": OLD.sub(r"\1 > 75", expr)}
    if "for" in rule:
        hasty["for"] = f"{min(_seconds(rule['for']) // FACTOR, LONGEST)}s"
    return hasty


def _seconds(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def hurry(host: Host) -> None:
    """From now on a monitoring host judges and tells in haste, until it is told otherwise or boots."""
    hosts.output(host, f"install -d -m 0755 {FOLDER}")
    rules = hurried(yaml.safe_load(hosts.output(host, f"cat {RULES}")))
    routes = yaml.safe_load(hosts.output(host, f"cat {ROUTES}"))
    for route in (routes["route"], *routes["route"]["routes"]):
        route |= {
            name: f"{_seconds(route[name]) // FACTOR}s"
            for name in ("group_wait", "group_interval", "repeat_interval")
            if name in route
        }
    more = {
        "prometheus": "--query.lookback-delta=25s --rules.alert.resend-delay=5s",
        "prometheus-alertmanager": "",
    }
    for unit, path, said in (
        ("prometheus", RULES, rules),
        ("prometheus-alertmanager", ROUTES, routes),
    ):
        name = path.rpartition("/")[2]
        _put(host, f"{FOLDER}/{name}", yaml.safe_dump(said, sort_keys=False, width=4096))
        arguments = hosts.output(host, f'. /etc/default/{unit}; echo "$ARGS"')
        _put(host, f"{FOLDER}/{unit}.env", f'ARGS="{arguments} {more[unit]}"\n')
        hosts.output(host, f"mkdir -p /run/systemd/system/{unit}.service.d")
        _put(
            host,
            f"/run/systemd/system/{unit}.service.d/z-haste.conf",
            UNIT.format(folder=FOLDER, name=name, path=path, unit=unit),
        )
    hosts.output(host, "systemctl daemon-reload && systemctl restart prometheus prometheus-alertmanager")


def calm(host: Host) -> None:
    """From now on it judges and tells as it does by default."""
    hosts.output(
        host,
        "rm -f /run/systemd/system/prometheus{,-alertmanager}.service.d/z-haste.conf; systemctl daemon-reload;"
        "systemctl restart prometheus prometheus-alertmanager",
    )


def _put(host: Host, path: str, text: str) -> None:
    # It holds where somebody is told.
    hosts.output(host, f"install -m 0640 -g prometheus /dev/stdin {path}", stdin=text)
