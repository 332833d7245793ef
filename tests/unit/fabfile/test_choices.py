"""What `fab` decides before it touches a host: targets of a rollback and of a recovery, the schema window, batches."""

from __future__ import annotations

from typing import Any

import pytest

from fabfile import schema
from fabfile.errors import FabError, RefusedError
from fabfile.hosts import state
from fabfile.hosts.connection import Answer, UnreachableError
from fabfile.hosts.fleet import AnswerError, HostsError, batches, is_its_own
from fabfile.hosts.state import HostState
from fabfile.migration import choosing
from fabfile.migration.choosing import Wish
from fabfile.rollout import agreement
from fabfile.schema import Revision
from fabfile.upkeep.diagnose import redacted

OLD, MIDDLE, NEW = "20261120T100000Z-aaaaaa1", "20261121T100000Z-bbbbbb2", "20261122T100000Z-cccccc3"


def row(release: str, state: str = "staged", **more: Any) -> dict[str, Any]:
    return {"release": release, "state": state, "verified": True, "bad": False, "schema_head": "1", **more}


def host(name: str, live: str | None, *rows: dict[str, Any], **status: Any) -> HostState:
    shown = {"live": {"release": live, "schema_applied": "1"} if live else None, **status}
    return HostState(name, shown, {each["release"]: each for each in rows})


def fleet(*hosts: HostState) -> dict[str, HostState]:
    return {each.name: each for each in hosts}


def test_a_rollback_goes_to_the_newest_verified_release_before_the_live_one() -> None:
    states = fleet(*(host(name, NEW, row(OLD), row(MIDDLE), row(NEW, "live")) for name in ("a", "b")))
    assert state.rollback_target(states) == MIDDLE


def test_a_rollback_goes_to_what_was_live_before_and_not_to_what_was_rolled_back_from() -> None:
    states = fleet(*(host(name, NEW, row(OLD), row(MIDDLE), row(NEW), before=[OLD]) for name in ("a", "b")))
    assert state.rollback_target(states) == OLD


def test_a_second_rollback_goes_further_back() -> None:
    states = fleet(
        *(host(name, MIDDLE, row(OLD), row(MIDDLE), row(NEW), before=[OLD]) for name in ("a", "b"))
    )
    assert state.rollback_target(states) == OLD


@pytest.mark.parametrize(
    "middle",
    [row(MIDDLE, bad=True, bad_reason="5xx"), row(MIDDLE, verified=False)],
    ids=["bad", "never verified"],
)
def test_a_rollback_passes_over_what_was_never_good(middle: dict[str, Any]) -> None:
    states = fleet(
        host("a", NEW, row(OLD), row(MIDDLE), row(NEW)), host("b", NEW, row(OLD), middle, row(NEW))
    )
    assert state.rollback_target(states) == OLD


def test_a_rollback_goes_only_where_every_host_can_follow() -> None:
    states = fleet(host("a", NEW, row(OLD), row(MIDDLE), row(NEW)), host("b", NEW, row(OLD), row(NEW)))
    assert state.rollback_target(states) == OLD


def test_without_a_release_to_go_back_to_the_refusal_names_each_hosts_own() -> None:
    states = fleet(host("a", NEW, row(NEW)), host("b", NEW, row(OLD, verified=False), row(NEW)))
    with pytest.raises(RefusedError) as refused:
        state.rollback_target(states)
    assert "none that was live before has been verified" in str(refused.value)
    assert f"b: {OLD} is staged, never verified" in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(NEW)], f"{MIDDLE} is missing on b"),
        ([row(MIDDLE, "half-built"), row(NEW)], f"{MIDDLE} is half-built on b"),
        (
            [row(MIDDLE, "bad", bad=True, bad_reason="it lost orders"), row(NEW)],
            "is marked bad on b: it lost orders",
        ),
    ],
)
def test_a_release_that_is_named_and_cannot_be_gone_back_to_is_refused_by_name(
    rows: list[dict[str, Any]], said: str
) -> None:
    states = fleet(host("a", NEW, row(MIDDLE), row(NEW)), host("b", NEW, *rows))
    with pytest.raises(RefusedError, match=said):
        state.rollback_target(states, MIDDLE)


def test_hosts_that_agree_stay_on_what_they_serve() -> None:
    states = fleet(host("a", NEW, row(NEW)), host("b", NEW, row(NEW)))
    assert state.unequal(states) == ""
    assert agreement.choose(states).release == NEW


def test_a_rollout_that_never_ended_is_taken_back() -> None:
    begun = {
        "kind": "deploy.begin",
        "release": NEW,
        "fence": 4,
        "details": {"previous": {"a": MIDDLE, "b": MIDDLE}},
    }
    states = fleet(
        host("a", NEW, row(MIDDLE), row(NEW), last_record=begun),
        host("b", MIDDLE, row(MIDDLE), row(NEW), last_record=begun),
    )
    assert f"a {NEW}, b {MIDDLE}" in state.unequal(states)
    assert agreement.choose(states).release == MIDDLE


def test_a_host_that_was_away_follows_the_newest_that_is_verified_everywhere_else_the_most() -> None:
    ended = {"kind": "deploy.end", "fence": 7, "release": NEW, "details": {"result": "ok"}}
    away = host("c", OLD, row(OLD))
    states = fleet(
        host("a", NEW, row(OLD), row(NEW), last_record=ended),
        host("b", NEW, row(NEW), last_record=ended),
        away,
    )
    assert agreement.choose(states).release == NEW


CHAIN = [
    Revision("1", "expand"),
    Revision("2", "expand", "Add"),
    Revision("3", "contract", "Drop the column"),
]


@pytest.mark.parametrize(
    ("head", "applied", "said"),
    [
        ("1", "1", ""),
        ("1", "2", ""),
        ("1", "3", "3 (Drop the column) took away what it needs"),
        ("2", "3", "3 (Drop the column) took away what it needs"),
        # Its own contracting revision may wait: it can do with and without what that takes away.
        ("3", "2", ""),
        ("3", "1", "needs the schema 3, and the database is on the earlier 1"),
        ("9", "2", "nothing here knows how the schema 2 came from 9"),
        ("1", None, ""),
    ],
)
def test_the_schema_window(head: str, applied: str | None, said: str) -> None:
    reason = schema.outside(head, applied, [[], CHAIN])
    assert said in reason
    assert bool(reason) == bool(said)


def test_a_deploy_holds_back_what_takes_away_and_all_that_follows() -> None:
    later = Revision("4", "expand", "Add another")
    assert schema.held_back(schema.pending(CHAIN, "1"), "1") == CHAIN[2:]
    assert schema.held_back([*CHAIN[1:], later], "1") == [CHAIN[2], later]
    assert schema.held_back(CHAIN[1:2], "1") == []
    # Nobody needs the old shape of an empty schema.
    assert schema.held_back(CHAIN, None) == []


@pytest.mark.parametrize(
    ("head", "applied", "needed"),
    [("1", "1", "3"), ("2", "2", "3"), ("3", "2", ""), ("1", "3", ""), ("9", "1", "")],
)
def test_who_needs_the_old_shape(head: str, applied: str, needed: str) -> None:
    found = schema.needing_the_old_shape({OLD: head}, CHAIN, applied)
    assert [revision.id for revision in found.values()] == ([needed] if needed else [])


CARRIED = [vars(revision) for revision in CHAIN]


def contracting_fleet(*kept: dict[str, Any]) -> dict[str, HostState]:
    newest = row(NEW, "live", schema_head="3", schema_revisions=CARRIED)
    return fleet(*(host(name, NEW, *kept, newest) for name in ("a", "b")))


def test_a_migration_leaves_what_takes_away_until_it_is_told() -> None:
    release, waiting, applied = choosing.checked(contracting_fleet(), Wish())
    assert (release, [revision.id for revision in waiting], applied) == (NEW, ["2"], "1")
    _, waiting, _ = choosing.checked(contracting_fleet(), Wish(contract=True))
    assert [revision.id for revision in waiting] == ["2", "3"]


def test_what_a_kept_release_needs_is_not_taken_away() -> None:
    with pytest.raises(RefusedError) as refused:
        choosing.checked(contracting_fleet(row(MIDDLE, schema_head="2")), Wish(contract=True))
    for part in (
        f"a: {MIDDLE} needs what 3 (Drop the column)",
        "b: ",
        "Nothing was changed",
        "fab prune --keep 1",
    ):
        assert part in str(refused.value)
    # One that is bad is never gone back to.
    choosing.checked(contracting_fleet(row(MIDDLE, "bad", schema_head="2")), Wish(contract=True))


@pytest.mark.parametrize(
    ("states", "wish", "said"),
    [
        (contracting_fleet(), Wish(release=OLD), f"{OLD} is not on a"),
        (fleet(host("a", OLD, row(OLD)), host("b", NEW, row(NEW))), Wish(), "do not serve one release"),
        (fleet(host("a", NEW, row(NEW, schema_revisions=CARRIED[1:]))), Wish(), f"{NEW} does not know"),
    ],
)
def test_a_migration_of_a_release_that_cannot_is_refused(
    states: dict[str, HostState], wish: Wish, said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        choosing.checked(states, wish)


def test_pending_revisions_are_those_after_the_applied_one() -> None:
    assert [revision.id for revision in schema.pending(CHAIN, "1")] == ["2", "3"]
    assert schema.pending(CHAIN, "3") == []
    assert schema.pending(CHAIN, None) == CHAIN


@pytest.mark.parametrize(
    ("size", "canary", "wanted"),
    [
        ("", False, [[1, 2, 3, 4, 5]]),
        ("", True, [[1], [2, 3, 4, 5]]),
        ("2", False, [[1, 2], [3, 4], [5]]),
        ("2", True, [[1], [2, 3], [4, 5]]),
        ("25%", False, [[1], [2], [3], [4], [5]]),
        ("50%", False, [[1, 2], [3, 4], [5]]),
        ("100%", False, [[1, 2, 3, 4, 5]]),
    ],
)
def test_batches(size: str, canary: bool, wanted: list[list[int]]) -> None:
    remotes: Any = [1, 2, 3, 4, 5]
    ordered: Any = batches(remotes, size, canary)
    assert ordered == wanted


@pytest.mark.parametrize(
    "text",
    [
        'password="hunter two"',
        "password=hunter two",
        '{"token": "hunter two"}',
        "Authorization: Bearer hunter",
        "postgresql://shop:hunter@db/shop",
        "redis://:hunter@cache:6379/0",
        "api_key: hunter",
        "Set-Cookie: hunter",
        "sentry_dsn=https://hunter@host/1",
    ],
)
def test_an_incidents_archive_has_no_secret(text: str) -> None:
    assert "hunter" not in redacted(f"before {text}, after")
    assert redacted("SHOP_WORKERS=2 and nothing secret") == "SHOP_WORKERS=2 and nothing secret"


def answered(code: str) -> FabError:
    return AnswerError("a", Answer("bake", 3, code=code, message="It said no."))


@pytest.mark.parametrize(
    ("failure", "blamed"),
    [
        (HostsError({"a": answered("bake-failed")}), True),
        (HostsError({"a": UnreachableError("a was lost over SSH."), "b": answered("verify-failed")}), True),
        (HostsError({"a": UnreachableError("a was lost over SSH.")}), False),
        (HostsError({"a": answered("lock-held")}), False),
        (KeyboardInterrupt(), False),
    ],
    ids=["it failed", "it failed on one, another was lost", "lost", "locked", "interrupted"],
)
def test_a_release_is_blamed_for_what_it_did_alone(failure: BaseException, blamed: bool) -> None:
    assert is_its_own(failure) == blamed


def test_a_release_without_migrations_runs_on_whatever_is_applied() -> None:
    assert schema.outside(None, "2", [[]]) == ""
