"""An upgrade to another major: both ways under a writer, and nothing that was confirmed is lost."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.database.upgrade_ground import FOLLOWS, SPARE, Ground, Writer, ground

KEY = """ALTER TABLE shop."Od""d; name's\n" ADD PRIMARY KEY (id)"""
MANY = """DO $$ BEGIN FOR n IN 1..40 LOOP
  EXECUTE format('CREATE TABLE shop.t%s AS SELECT g AS id FROM generate_series(1, %s) g', md5(n::text), n);
  EXECUTE format('ALTER TABLE shop.t%s ADD PRIMARY KEY (id)', md5(n::text));
END LOOP; END $$"""
COUNTED = "SELECT count(*) FROM shop.orders WHERE id = ANY(ARRAY{ids}::bigint[])"


@pytest.fixture
def shop() -> Iterator[Ground]:
    with ground() as made:
        made.sql(KEY)
        yield made


def lost(shop: Ground, writer: Writer) -> int:
    """How many orders that were confirmed are not where the service looks."""
    return len(writer.kept) - int(shop.sql(COUNTED.format(ids=writer.kept)))


def test_there_and_back_and_there_again_loses_nothing(shop: Ground) -> None:
    assert shop.obstacles() == {}
    shop.sql("CREATE ROLE looks IN ROLE pg_monitor")
    shop.sql("GRANT SELECT ON pg_hba_file_rules TO looks")
    before = shop.worries()
    with Writer(shop) as writer:
        shop.done("prepare")
        assert shop.worries() == before
        there = shop.done("switch")
        assert shop.serving() == "17"
        assert shop.worries() == before
        assert shop.sql("SELECT has_table_privilege('looks', 'pg_ident_file_mappings', 'SELECT')") is True
        assert (
            shop.sql("SELECT has_function_privilege('looks', 'pg_ident_file_mappings()', 'EXECUTE')") is True
        )
        assert (shop.directory / "follows.conf").read_text() == FOLLOWS.format(version=17)
        back = shop.done("back")
        assert shop.serving() == "14"
        assert (shop.directory / "follows.conf").read_text() == FOLLOWS.format(version=14)
        again = shop.done("switch")
    print(f"pauses {there['pause_seconds']}, {back['pause_seconds']}, {again['pause_seconds']} s; "
          f"{len(writer.kept)} orders, {writer.errors} errors, longest wait {writer.longest:.2f} s")  # fmt: skip

    assert lost(shop, writer) == 0
    assert shop.sql("SELECT count(*) = count(DISTINCT id) FROM shop.orders") is True
    assert shop.sql("SELECT last_value >= (SELECT max(id) FROM shop.orders) FROM shop.orders_id_seq") is True

    with pytest.raises(psycopg.Error, match="an upgrade of PostgreSQL is prepared"):
        shop.sql("CREATE TABLE shop.more (id int PRIMARY KEY)")
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        shop.sql("SELECT 1", port=SPARE, user="shop")

    shop.done("finish")
    assert shop.serving() == "17"
    assert shop.worries() == before
    assert not shop.data(14).exists()
    assert lost(shop, writer) == 0
    for command in ("plan", "rehearse", "prepare", "switch", "back", "finish", "cancel"):
        assert "14/main is not here" in shop.refused(command)
    shop.sql("CREATE TABLE shop.more (id int PRIMARY KEY)")
    for left in ("pg_subscription", "pg_publication", "pg_replication_slots", "pg_event_trigger"):
        assert shop.sql(f"SELECT count(*) FROM {left}") == 0


@pytest.mark.long
def test_a_rehearsal_says_how_long_writers_will_wait_and_leaves_nothing(shop: Ground) -> None:
    # So many that the two servers do not list them in one order.
    shop.sql(MANY)
    with Writer(shop) as writer:
        said = shop.done("rehearse")
        assert not (shop.directory / "rehearsals").exists()
        assert said["tables"] == 44
        assert "Rehearsed at" in shop.done("plan")["said"]
        assert not shop.data(17).exists()
        shop.done("prepare")
        moved = shop.done("switch")
    print(f"rehearsed {said['pause_seconds']} s, waited {moved['pause_seconds']} s")

    assert lost(shop, writer) == 0
    assert moved["pause_seconds"] < 2


# Every line that an upgrade writes into its journal, there, back and there again.
PREPARED = ["prepare", "make", "freeze", "schema", "subscribe", "copy", "analyze"]
MOVED = ["move", "fence", "drain", "open", "ports", "follow"]
ENDED = ["remove", "thaw"]
KILLS = [
    (command, step, phase)
    for command, steps in (
        ("prepare", PREPARED),
        ("switch", MOVED),
        ("back", MOVED),
        ("finish", ["finish", *ENDED]),
        ("cancel", ["cancel", *ENDED]),
    )
    for step in steps
    for phase in ("begin", "end")
]
BEFORE = {"prepare": [], "switch": ["prepare"], "back": ["prepare", "switch"], "cancel": ["prepare"]} | {
    "finish": ["prepare", "switch"]
}


def reached(shop: Ground, command: str) -> None:
    """Bring an upgrade to where this command is the next."""
    for each in BEFORE[command]:
        shop.done(each)


@pytest.mark.long
@pytest.mark.parametrize(("command", "step", "phase"), KILLS, ids=["-".join(each) for each in KILLS])
def test_a_run_that_was_killed_is_gone_on_with(shop: Ground, command: str, step: str, phase: str) -> None:
    reached(shop, command)
    with Writer(shop) as writer:
        status, _ = shop.ask(command, die_after=(step, phase))
        assert status == -9, f"{command} does not write {step} {phase}"
        if (step, phase) not in ((PREPARED[0], "end"), (MOVED[0], "end"), (command, "end")):
            shop.done(command)
    serves = "17" if command in ("switch", "finish") else "14"

    assert shop.serving() == serves
    assert lost(shop, writer) == 0
    if command in ("prepare", "switch", "back"):
        there = "back" if command == "switch" else "switch"
        with Writer(shop) as second:
            shop.done(there)
        assert lost(shop, second) == 0
