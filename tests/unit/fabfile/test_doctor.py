"""`fab doctor`: each item of the checklist is met by what a healthy fleet says, and is not by what it is about."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from invoke import Context, Exit

from fabfile.database.asking import ssh
from fabfile.database.findings import Finding, Level, Report, Section, Server
from fabfile.errors import RefusedError
from fabfile.hosts import environment as environments
from fabfile.hosts.app_host import AppHost
from fabfile.tasks.doctoring import doctor
from fabfile.upkeep.doctor import accepting, asking, screen
from fabfile.upkeep.doctor.items import GROUPS, maintenance
from fabfile.upkeep.doctor.judging import Item, Seen, State

RELEASE, EARLIER = "20261127T000000Z-3f2a9c1", "20261126T000000Z-1a2b3c4"
ITEMS = {item.id: item for items in GROUPS.values() for item in items}
GROUPS_OF_HOSTS = {
    "edge": ("edge-1",),
    "app": ("app-1", "app-2"),
    "db": ("db-1",),
    "monitoring": ("watch-1",),
    "all": ("edge-1", "app-1", "app-2", "db-1", "watch-1"),
}
LIVE = {
    "unit": {"stop": "30s", "workers": 2, "libraries": ["uvloop", "httptools"]},
    "numbers": {"WORKERS": 2, "DATABASE_POOL_SIZE": 5, "DATABASE_MAX_OVERFLOW": 5},
    "back": [EARLIER],
    "record": {"kind": "deploy.end", "time": "2026-11-27T00:10:00Z", "details": {"result": "ok", "lost": 0}},
    "log": {"lines": 20, "structured": 20, "size": 4096},
    "errors": ["sentry_dsn"],
    "cache": {"named": True, "answers": True, "sentinel": True},
}
EDGE = {
    "tls": "TLSv1.3",
    "headers": dict.fromkeys(
        ("strict-transport-security", "x-content-type-options", "x-frame-options", "referrer-policy"), "x"
    ),
    "origins": [None, None],
    "docs": {"/docs": 404, "/redoc": 404, "/openapi.json": 404},
    "large": 413,
    "plain": "https://shop.example/",
}
NGINX = {
    "client_max_body_size": ["1m"],
    "limit_req": ["zone=shop_requests burst=40 nodelay"],
    "gzip": ["on"],
    "gzip_types": ["application/json text/plain"],
    "keepalive_timeout": ["65s", "60s"],
    "proxy_next_upstream": ["error timeout http_502"],
    "server": ["10.0.0.31:8443 max_fails=1", "10.0.0.32:8443 max_fails=1"],
}
BASE = {
    "cores": 2,
    "reboot": [],
    "sshd": {
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "permitrootlogin": "prohibit-password",
    },
    "firewall": {"denies": ["inet filter input"]},
    "rotation": {"rule": True, "timer": True, "hours": 1.0, "largest": 3_000_000},
}
POINTS: dict[str, list[str]] = {"units": [], "disks": [], "certificates": [], "updates": []}


def said(**facts: Any) -> dict[str, Any]:
    """What a host that is well says."""
    return copy.deepcopy({"complaints": POINTS, "notes": [], "facts": {**BASE, **facts}})


def finding(check: str, level: Level = Level.OK, sentence: str = "", command: str = "") -> Finding:
    return Finding(check, level, sentence or f"{check} is as it should be.", command)


def report(*findings: Finding) -> Report:
    named = {check: finding(check) for check in ("connection-budget", "replicas", "backup", "restore-test")}
    named |= {each.check: each for each in findings}
    parts = (Section("service", tuple(named.values())),)
    return Report("fleet", "shop", Server("db-1", "primary", "14.23"), datetime.now(UTC), 0.1, parts)


def healthy() -> Seen:
    app = {
        "secrets": {"credentials": ["database_password", "secret_key"], "open": [], "told": []},
        "live": LIVE,
    }
    hosts = {
        "edge-1": said(edge=EDGE, nginx=NGINX),
        "app-1": said(**app) | {"live": RELEASE, "connections": 40},
        "app-2": said(**app) | {"live": RELEASE, "connections": 40},
        "db-1": said(sessions={"all": 8, "old": 0}, takeover=True) | {"connections_left": 97},
        "watch-1": said(prometheus={"up": 9, "down": [], "rules": ["HostDown", "LatencyBurnFast"]}),
    }
    return Seen("fleet", "shop", GROUPS_OF_HOSTS, hosts, database=report(), replicas=1)


def facts(host: str, *path: str, value: Any) -> Callable[[Seen], Seen]:
    """A look in which one host says something else."""

    def change(seen: Seen) -> Seen:
        place: Any = seen.hosts[host]["facts"]
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        return seen

    return change


def complaint(host: str, point: str, sentence: str) -> Callable[[Seen], Seen]:
    def change(seen: Seen) -> Seen:
        seen.hosts[host]["complaints"].setdefault(point, []).append(sentence)
        return seen

    return change


def database(*findings: Finding, **others: Any) -> Callable[[Seen], Seen]:
    return lambda seen: replace(seen, database=report(*findings), **others)


def live(*path: str, value: Any) -> Callable[[Seen], Seen]:
    return facts("app-2", "live", *path, value=value)


def alone(seen: Seen) -> Seen:
    return replace(seen, groups={**GROUPS_OF_HOSTS, "app": ("app-1",)})


def unwatched(seen: Seen) -> Seen:
    return replace(seen, groups={**GROUPS_OF_HOSTS, "monitoring": ()})


def other_release(seen: Seen) -> Seen:
    return replace(seen, hosts={**seen.hosts, "app-2": {**seen.hosts["app-2"], "live": EARLIER}})


NOT_MET, WRONG = State.NOT_MET, State.WRONG
# For each item: what is seen otherwise, its verdict then, and words of its line.
FAULTS: dict[str, list[tuple[Callable[[Seen], Seen], State, str]]] = {
    "secrets": [
        (
            facts("app-1", "secrets", "open", value=["secret_key"]),
            NOT_MET,
            "others than root may read secret_key",
        ),
        (
            facts("app-1", "secrets", "told", value=["SHOP_KEY"]),
            NOT_MET,
            "SHOP_KEY has the value of a credential",
        ),
    ],
    "origins": [
        (facts("edge-1", "edge", "origins", value=["*", None]), NOT_MET, "Access-Control-Allow-Origin: *")
    ],
    "https": [
        (facts("edge-1", "edge", "plain", value=""), NOT_MET, "port 80 answers without TLS"),
        (
            complaint("edge-1", "certificates", "/x/host.pem ends within 21 days: renew it and run site.yml"),
            WRONG,
            "edge-1: /x/host.pem ends within 21 days",
        ),
    ],
    "headers": [
        (facts("edge-1", "edge", "headers", value={}), NOT_MET, "answers lack strict-transport-security")
    ],
    "limits": [
        (facts("edge-1", "edge", "large", value=200), NOT_MET, "a request of 1 TB is answered 200"),
        (facts("edge-1", "nginx", "limit_req", value=[]), NOT_MET, "no limit_req"),
    ],
    "pool": [
        (
            database(finding("connection-budget", Level.CRITICAL, "A deploy may need 210 connections")),
            WRONG,
            "may need 210",
        )
    ],
    "cache": [
        (
            live("cache", value={"named": False, "answers": False, "sentinel": False}),
            NOT_MET,
            "no Redis is named",
        ),
        (
            live("cache", value={"named": True, "answers": False, "sentinel": False}),
            WRONG,
            "app-2: nobody answers at the address of Redis",
        ),
    ],
    "server": [
        (live("unit", "libraries", value=[]), NOT_MET, "plain asyncio"),
        (live("unit", "workers", value=16), NOT_MET, "app-2: 16 workers on 2 cores"),
    ],
    "balancing": [
        (alone, NOT_MET, "one app host"),
        (facts("edge-1", "nginx", "server", value=["10.0.0.31:8443"]), NOT_MET, "among 1 of 2"),
        # An edge that is an app host has its own service's socket as well.
        (
            facts(
                "edge-1",
                "nginx",
                "server",
                value=["10.0.0.31:8443", "unix:/srv/shop/current/http.sock max_fails=0"],
            ),
            NOT_MET,
            "among 1 of 2",
        ),
    ],
    "compression": [
        (facts("edge-1", "nginx", "gzip_types", value=["text/plain"]), NOT_MET, "does not compress JSON")
    ],
    "logs": [(live("log", value={"lines": 20, "structured": 3, "size": 1}), NOT_MET, "3 of its last 20")],
    "metrics": [
        (unwatched, NOT_MET, "nobody watches"),
        (
            facts("watch-1", "prometheus", "down", value=["node of db-1"]),
            NOT_MET,
            "do not answer: node of db-1",
        ),
    ],
    "health": [
        (
            complaint("app-2", "release", "the release R is not ready (x): journalctl -u a"),
            WRONG,
            "is not ready",
        )
    ],
    "errors": [(live("errors", value=[]), NOT_MET, "no DSN of Sentry")],
    "speed": [(facts("watch-1", "prometheus", "rules", value=["HostDown"]), NOT_MET, "of latency none")],
    "workers": [(live("unit", "workers", value=1), NOT_MET, "app-2: 1 process answers")],
    "standby": [
        (lambda seen: replace(seen, replicas=0), NOT_MET, "no standby is expected"),
        (database(finding("replicas", Level.CRITICAL, "0 standbys are connected")), WRONG, "0 standbys"),
    ],
    "sentinel": [(live("cache", "sentinel", value=False), NOT_MET, "no sentinel")],
    "graceful": [
        (live("unit", "stop", value="infinity"), NOT_MET, "may take infinity"),
        (live("record", "details", value={"result": "ok", "lost": 3}), NOT_MET, "lost 3 requests"),
    ],
    "takeover": [
        (alone, NOT_MET, "of one app host nobody takes over"),
        (facts("db-1", "takeover", value=False), NOT_MET, "nothing promotes a standby"),
        (facts("edge-1", "nginx", "proxy_next_upstream", value=["off"]), NOT_MET, "after: off"),
    ],
    "rollouts": [
        (
            live("record", "details", value={"result": "failed"}),
            NOT_MET,
            "the last deploy, 2026-11-27 00:10: failed",
        ),
        (live("record", "kind", value="deploy.begin"), NOT_MET, "not at its end"),
    ],
    "backups": [
        (
            database(finding("backup", Level.WARN, "There has been no backup yet.", "fab db-backup")),
            NOT_MET,
            "no backup",
        ),
        (database(finding("restore-test", Level.CRITICAL, "The test failed.")), WRONG, "The test failed"),
    ],
    "rotation": [
        (facts("app-1", "rotation", "rule", value=False), NOT_MET, "no rule"),
        (facts("app-1", "rotation", "hours", value=30.0), NOT_MET, "has not run"),
        (facts("app-1", "rotation", "timer", value=False), NOT_MET, "timer does not run"),
    ],
    "back": [(live("back", value=[]), NOT_MET, "no earlier release is verified")],
    "pool-size": [(live("numbers", "DATABASE_POOL_SIZE", value=-4), NOT_MET, "2 connections a release")],
    "pool-recycle": [
        (facts("db-1", "sessions", value={"all": 8, "old": 2}), NOT_MET, "2 of the service's 8")
    ],
    "processes": [(live("unit", "workers", value=1), NOT_MET, "workers: 1, cores: 2")],
    "keep-alive": [(facts("edge-1", "nginx", "keepalive_timeout", value=["5s"]), NOT_MET, "for 5s")],
    "docs-closed": [(facts("edge-1", "edge", "docs", value={"/docs": 200}), NOT_MET, "anybody reads /docs")],
    "units": [
        (
            complaint("db-1", "units", "rsyslog is dead: systemctl start rsyslog"),
            WRONG,
            "db-1: rsyslog is dead",
        )
    ],
    "disks": [(complaint("db-1", "disks", "/ is full to 97 %: make room below 90 %"), WRONG, "full to 97 %")],
    "updates": [
        (
            complaint("db-1", "updates", "unattended-upgrades last ran 9 days ago: journalctl"),
            WRONG,
            "9 days ago",
        ),
        (
            facts("db-1", "reboot", value=["the host waits for a reboot for libc6"]),
            NOT_MET,
            "waits for a reboot",
        ),
    ],
    "ssh": [
        (
            facts("db-1", "sshd", "passwordauthentication", value="yes"),
            NOT_MET,
            "db-1: passwordauthentication yes",
        )
    ],
    "firewall": [(facts("db-1", "firewall", "denies", value=[]), NOT_MET, "db-1: no rule set denies")],
    "agreement": [
        (other_release, WRONG, "serve different releases"),
        (
            lambda seen: replace(seen, hosts={**seen.hosts, "db-1": said() | {"connections_left": 20}}),
            WRONG,
            "leaves it 20",
        ),
    ],
    "database": [
        (database(finding("checksums", Level.CRITICAL, "2 pages are broken.")), WRONG, "1 critical"),
        (database(finding("bloat", Level.WARN)), NOT_MET, "1 warn"),
        (complaint("db-1", "database", "its encoding is LATIN1: dump it"), WRONG, "its encoding is LATIN1"),
    ],
}
CASES = [(name, *case) for name, cases in FAULTS.items() for case in cases]


@pytest.mark.parametrize("item", ITEMS.values(), ids=lambda item: str(item.id))
def test_an_item_is_met_on_a_fleet_that_has_all_of_the_list(item: Item) -> None:
    verdict = item.judged(healthy())

    assert (verdict.state, verdict.remedy) == (State.MET, ""), verdict


@pytest.mark.parametrize(
    ("name", "change", "state", "words"), CASES, ids=[f"{name}: {words}" for name, _, _, words in CASES]
)
def test_an_item_is_not_met_by_what_it_is_about_and_says_what_to_do(
    name: str, change: Callable[[Seen], Seen], state: State, words: str
) -> None:
    verdict = ITEMS[name].judged(change(healthy()))

    assert verdict.state is state, verdict
    assert words in verdict.evidence
    assert verdict.remedy


def test_every_item_has_a_case_in_which_it_is_not_met() -> None:
    # The pages of this checkout have a test of their own.
    assert sorted(FAULTS) == sorted(ITEMS.keys() - {"pages"})


def test_the_list_is_whole_as_the_articles_have_it() -> None:
    assert [len(items) for items in GROUPS.values()][:6] == [5] * 6
    assert len(ITEMS) == sum(map(len, GROUPS.values()))


def test_a_page_that_an_alert_names_and_nobody_wrote_is_missed(tmp_path: Path) -> None:
    (tmp_path / maintenance.ALERTS).parent.mkdir(parents=True)
    (tmp_path / maintenance.ALERTS).write_text("- alert: X\n  runbook: alerts-hosts.md\n")

    verdict = maintenance.pages(healthy(), tmp_path)

    assert verdict.state is State.NOT_MET
    assert "docs/runbooks/alerts-hosts.md" in verdict.evidence


@pytest.mark.parametrize("host", GROUPS_OF_HOSTS["all"])
def test_a_host_that_did_not_answer_is_never_counted_as_well(host: str) -> None:
    seen = healthy()
    hosts = {name: said for name, said in seen.hosts.items() if name != host}
    seen = replace(seen, hosts=hosts, unseen={host: "it cannot be reached: timed out"})

    told = screen.told(seen)

    assert told.exit_code == 3
    assert f"{host} was not looked at: it cannot be reached: timed out" in "\n".join(screen.lines(told))
    met = {
        each.item.id for judged in told.groups.values() for each in judged if each.verdict.state is State.MET
    }
    assert not met & {"units", "disks", "updates", "ssh", "firewall"}
    group = next(name for name, members in GROUPS_OF_HOSTS.items() if host in members)
    assert not met & {item.id for item in ITEMS.values() if item.group == group and group != "db"}


def test_what_is_wrong_somewhere_is_said_though_another_host_is_away() -> None:
    seen = complaint("app-1", "disks", "/ is full to 97 %: make room below 90 %")(healthy())
    hosts = {name: said for name, said in seen.hosts.items() if name != "db-1"}

    told = screen.told(replace(seen, hosts=hosts, unseen={"db-1": "away"}))

    assert told.exit_code == 2
    assert next(iter(told.groups)) == "Hosts"
    assert told.groups["Hosts"][0].item.id == "disks"


def test_without_a_look_at_the_database_what_it_would_say_is_unseen() -> None:
    seen = replace(healthy(), database=None, unlooked="it does not answer")

    states = {name: ITEMS[name].judged(seen).state for name in ("pool", "standby", "backups", "database")}

    assert set(states.values()) == {State.UNSEEN}


def test_a_service_without_a_database_needs_none() -> None:
    seen = replace(healthy(), groups={**GROUPS_OF_HOSTS, "db": ()}, database=None)

    states = {
        name: ITEMS[name].judged(seen).state
        for name in ("pool", "standby", "backups", "database", "pool-size")
    }

    assert set(states.values()) == {State.NEEDLESS}
    assert screen.told(seen).exit_code == 0


def test_an_answer_of_another_slipway_is_unseen_and_no_traceback() -> None:
    seen = healthy()
    bare: dict[str, dict[str, Any]] = {
        name: {"complaints": {}, "notes": [], "facts": {}} for name in seen.hosts
    }

    told = screen.told(replace(seen, hosts=bare))

    assert told.exit_code == 3
    assert all(verdict.state is not State.WRONG for verdict in told.verdicts)


def test_a_program_that_did_not_answer_on_the_host_is_said() -> None:
    verdict = ITEMS["firewall"].judged(
        facts("db-1", "firewall", value={"problem": "nft is not there"})(healthy())
    )

    assert (verdict.state, verdict.evidence) == (State.UNSEEN, "nft is not there")


def test_the_screen_is_a_line_an_item_and_another_for_what_to_do() -> None:
    shown = list(screen.lines(screen.told(unwatched(healthy()))))

    assert shown[0].startswith("fleet: shop on 5 hosts, looked at in ")
    assert shown[1] == "\nMonitoring"
    assert shown[2].split()[:3] == ["not", "met", "metrics"]
    assert shown[3].strip().startswith("-> a host in the group monitoring")
    assert shown[-1] == f"\n{len(ITEMS)} items: {len(ITEMS) - 2} met, 2 not met."
    assert all(len(line) < 140 for line in shown)


def test_only_problems_leaves_out_what_is_met() -> None:
    shown = list(screen.lines(screen.told(unwatched(healthy())), only_problems=True))

    assert len(shown) == 7
    assert not any(line.startswith("  met") for line in shown)


def test_what_a_host_says_does_not_act_on_the_terminal() -> None:
    seen = live("unit", "stop", value="30s\x1b[2J\n  met      firewall")(healthy())

    shown = "\n".join(screen.lines(screen.told(seen)))

    assert "\x1b" not in shown
    assert shown.count("\n  met      firewall") == 1


def test_json_has_every_item_with_its_group_evidence_and_remedy() -> None:
    told = json.loads(screen.encoded(screen.told(alone(healthy()))))

    assert (told["version"], told["environment"], told["exit_code"]) == (1, "fleet", 1)
    assert {row["id"] for row in told["items"]} == ITEMS.keys()
    row = next(row for row in told["items"] if row["id"] == "balancing")
    assert (row["group"], row["state"]) == ("Performance", "not met")
    assert row["asks"]
    assert row["evidence"]
    assert row["remedy"]


def test_the_page_has_every_item_in_the_lists_order() -> None:
    page = (maintenance.PROJECT / "docs/doctor.md").read_text(encoding="utf-8")
    page = page.partition("## The items")[2]
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)

    assert rows == [(item.id, item.asks) for item in ITEMS.values()]
    assert re.findall(r"^### (.+)$", page, re.MULTILINE) == list(GROUPS)


ANSWER = json.dumps({"complaints": {}, "notes": [], "facts": {"cores": 2}})


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo 'ssh: connect to host 10.0.0.1 port 22: timed out' >&2; exit 255",
            "it cannot be reached: ssh: connect",
        ),
        (
            "echo 'sudo: a password is required' >&2; exit 1",
            "look-at-host said: sudo: a password is required",
        ),
        ("echo The host was not looked at: no file >&2; exit 1", "was not looked at: no file"),
        (f"echo '{asking.MARK}{{'", "look-at-host said: "),
        (f"echo '{asking.MARK}null'", "look-at-host said: "),
        ("exit 0", "look-at-host said: nothing"),
    ],
)
def test_why_a_host_said_nothing_is_said_in_words(
    script: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssh, "command", lambda _host, _words: ["sh", "-c", script])

    with pytest.raises(asking.NoAnswerError, match=re.escape(words)):
        asking.asked(AppHost("app-1", "10.0.0.1", 22, "deploy", None, tmp_path, app="shop"))


def test_an_answer_is_found_behind_what_a_login_shell_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    typed: list[str] = []

    def command(_host: AppHost, words: str) -> list[str]:
        typed.append(words)
        return ["sh", "-c", f"echo Welcome; echo '{asking.MARK}{ANSWER}'; echo bye"]

    monkeypatch.setattr(ssh, "command", command)

    said = asking.asked(AppHost("app-1", "10.0.0.1", 22, "deploy", None, tmp_path, app="shop"))

    assert said["facts"] == {"cores": 2}
    assert typed == ["sudo -n /usr/local/lib/slipway/look-at-host shop"]


def test_all_hosts_of_an_inventory_are_asked_and_one_that_is_away_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(host: AppHost) -> dict[str, Any]:
        if host.name == "app-2":
            raise asking.NoAnswerError("it cannot be reached: no route")
        return dict(json.loads(ANSWER))

    monkeypatch.setattr(asking, "asked", asked)
    monkeypatch.setattr(asking, "_database", lambda _environment: (None, "it does not answer", 0))

    seen = asking.seen(environments.load("fleet"))

    assert sorted(seen.hosts) == ["app-1", "db-1", "edge-1", "logs-1"]
    assert seen.unseen == {"app-2": "it cannot be reached: no route"}
    assert seen.of("app") == ("app-1", "app-2")
    assert seen.has_database


@pytest.mark.parametrize(
    ("change", "code"),
    [(healthy, None), (lambda: unwatched(healthy()), 1), (lambda: other_release(healthy()), 2)],
    ids=["all met", "not met", "wrong"],
)
def test_the_exit_code_is_the_worst_of_the_list(
    change: Callable[[], Seen],
    code: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(asking, "seen", lambda _environment: change())

    if code is None:
        doctor(Context(), env="fleet")
    else:
        with pytest.raises(Exit) as ended:
            doctor(Context(), env="fleet")
        assert ended.value.code == code
    assert f"{len(ITEMS)} items: " in capsys.readouterr().out


def test_an_environment_that_is_not_there_is_refused_with_the_code_of_what_is_not_known() -> None:
    with pytest.raises(Exit) as ended:
        doctor(Context(), env="nowhere")

    assert ended.value.code == 3


def without(item: str, days: int, seen: Seen) -> Seen:
    """A look whose inventory lives without an item for so many days from now."""
    return replace(seen, accepted={item: ("nobody here is called at night", date.today() + timedelta(days))})


def test_what_is_not_met_and_accepted_counts_as_met_until_its_day_is_over() -> None:
    kept = screen.told(without("errors", 0, live("errors", value=[])(healthy())))
    over = screen.told(without("errors", -1, live("errors", value=[])(healthy())))

    assert (kept.exit_code, over.exit_code) == (0, 1)
    assert "accepted" in "\n".join(screen.lines(kept))
    assert "nobody here is called at night" in "\n".join(screen.lines(kept))
    assert "which is over: app-2: errors are in the logs alone" in "\n".join(screen.lines(over))


def test_what_is_wrong_or_unseen_is_never_accepted() -> None:
    full = complaint("app-1", "disks", "/ is full to 97 %: make room below 90 %")
    unseen = facts("db-1", "firewall", value={"problem": "nft hangs"})

    assert screen.told(without("disks", 9, full(healthy()))).exit_code == 2
    assert screen.told(without("firewall", 9, unseen(healthy()))).exit_code == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("cache", "is no list"),
        ([{"item": "cache"}], "has to have item, reason and until"),
        ([{"item": "cash", "reason": "it is not needed", "until": "2027-01-31"}], "no item 'cash'"),
        ([{"item": "cache", "reason": "no", "until": "2027-01-31"}], "needs a reason in words"),
        ([{"item": "cache", "reason": "it is not needed", "until": "soon"}], "a day such as 2027-01-31"),
    ],
)
def test_an_acceptance_that_cannot_be_meant_is_refused(given: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        accepting.load(given, list(ITEMS))
