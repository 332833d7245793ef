"""A migration's session: what env.py connected is made fit for it, one migrator at a time, others are watched."""

import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from slipway_migrator.address import Settings
from slipway_migrator.blockers import BLOCKING, HOLDING, Session, sessions
from slipway_migrator.books import NAMES
from slipway_migrator.drivers import beside, connected
from slipway_migrator.errors import MigrationError, MigratorBusyError
from slipway_migrator.lines import say

# Any constant will do, as long as every release of every service uses the same: a lock is a database's.
MIGRATION_LOCK = 0x73686F70
LOOK_SECONDS = 0.4
REPEAT_SECONDS = 10.0
BUILDING = text("""
SELECT p.index_relid::regclass::text AS index, p.phase, p.blocks_done, p.blocks_total, p.lockers_total,
  p.lockers_done
FROM pg_stat_progress_create_index AS p WHERE p.pid = :pid
""")
MODES = text("""
SELECT c.relname AS relation, l.mode
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p', 'm', 'v')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relname <> ALL (:books)
""")
BESIDE = "ShareUpdateExclusiveLock"
STRENGTH = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    BESIDE,
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
SET = text("SELECT set_config(:name, :value, false)")
MEMBER = text("SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = :owner")
LIMITS = {
    # A statement that waits longer gives up: the service's own would queue behind it.
    "lock_timeout": "2s",
    # The server notices within this time that a migrator was killed, and lets go of what it had locked.
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def refuse_while_frozen(connection: Connection) -> None:
    """Raises MigrationError while an upgrade of PostgreSQL is prepared: rows come along, a schema does not."""
    frozen = (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'slipway_upgrade_changes')"
    )
    if connection.scalar(text(frozen)):
        raise MigrationError(
            "an upgrade of PostgreSQL to another major is prepared, and the schema stays as it is until that is over. "
            "How far it is: fab db-upgrade --plan; it ends with --finish, or with --cancel."
        )


def prepare(connection: Connection, settings: Settings, program: str) -> int:
    """Make the session fit for a migration, by settings that outlive its transactions; returns its pid.

    Raises MigrationError when env.py's connection, the schema or the owning role is not as a migration needs it.
    """
    if connection.dialect.name != "postgresql":
        raise MigrationError(f"env.py connects to {connection.dialect.name}, and not to PostgreSQL.")
    if connection.in_transaction():
        raise MigrationError(
            "env.py gives a connection with an open transaction, so that revisions could not be committed one by "
            "one: use engine.connect() and not begin(), and commit before context.configure()."
        )
    with connection.begin():
        connection.execute(text("SELECT set_config('slipway.kept', 'yes', true)"))
        if connection.scalar(text("SELECT current_setting('slipway.kept', true)")) != "yes":
            raise MigrationError(
                "env.py gives a connection in autocommit, so that a failed revision could not be rolled back."
            )
        for name, value in {**LIMITS, "application_name": program, "search_path": settings.schema}.items():
            connection.execute(SET, {"name": name, "value": value})
        if connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": settings.schema}) is None:
            raise MigrationError(
                f"the schema {settings.schema} does not exist: create it, owned by the owning role."
            )
        _become(connection, settings.owner)
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def _become(connection: Connection, owner: str) -> None:
    """What a migration creates belongs to `owner`, so that its default privileges apply to it."""
    if not owner:
        return
    member = connection.scalar(MEMBER, {"owner": owner})
    if not member:
        reason = "does not exist" if member is None else "does not count the migrating role as its member"
        raise MigrationError(f"the role {owner} {reason}: it is to own the schema, by …DATABASE_OWNER.")
    connection.execute(SET, {"name": "role", "value": owner})


def _in_words(found: list[Session]) -> str:
    return "; ".join(map(str, found)) or "a session that has ended meanwhile"


def take_lock(connection: Connection, seconds: float) -> None:
    """Become the one migrator of this database, until the session ends.

    Never queues in the server: it asks again until `seconds` are over, and says who holds the lock. Raises
    MigratorBusyError.
    """
    began, said = time.monotonic(), -REPEAT_SECONDS
    while True:
        # The lock is the session's: it outlives this transaction.
        with connection.begin():
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
                return
            holders = sessions(connection, HOLDING, key=MIGRATION_LOCK)
        waited = time.monotonic() - began
        if waited >= seconds:
            raise MigratorBusyError(
                f"another migration still runs after {waited:.0f} s: {_in_words(holders)}"
            )
        if waited - said >= REPEAT_SECONDS:
            say(
                "migration_waits_for_another",
                "warning",
                waited_seconds=round(waited, 1),
                held_by=[holder.as_fields() for holder in holders],
            )
            said = waited
        time.sleep(random.uniform(0.1, LOOK_SECONDS))  # noqa: S311 - spreads looks, guards nothing


class _Watch:
    """Looks on from a session of its own, and says who is in the way and how far an index is."""

    def __init__(self, pid: int, program: str, blockers: list[Session], ended: threading.Event) -> None:
        self.pid, self.program, self.blockers, self.ended = pid, program, blockers, ended
        self.said: set[int] = set()
        self.phase, self.told = "", -REPEAT_SECONDS

    def until_it_ends(self, connection: Connection) -> None:
        with connection.begin():
            connection.execute(SET, {"name": "application_name", "value": self.program})
        while not self.ended.is_set():
            self.look(connection)
            self.ended.wait(LOOK_SECONDS)

    def look(self, connection: Connection) -> None:
        with connection.begin():
            found = sessions(connection, BLOCKING, pid=self.pid)
            building = connection.execute(BUILDING, {"pid": self.pid}).mappings().one_or_none()
        if building and (building["phase"] != self.phase or time.monotonic() - self.told >= REPEAT_SECONDS):
            say("index_build", **building)
            self.phase, self.told = building["phase"], time.monotonic()
        if found:
            self.blockers[:] = found
        if found and {each.pid for each in found} != self.said:
            say("migration_blocked", "warning", blocked_by=[each.as_fields() for each in found])
        self.said = {each.pid for each in found}


@contextmanager
def watching(engine: Engine, pid: int, program: str, blockers: list[Session]) -> Iterator[None]:
    """While the session `pid` works: a line for whoever blocks it; `blockers` keeps the last ones seen.

    While it builds an index: a line for each phase, and every ten seconds, about how far it is.
    """
    ended = threading.Event()
    watch = _Watch(pid, program, blockers, ended)

    def work() -> None:
        try:
            connected(beside(engine), watch.until_it_ends)
        except Exception as error:
            # Who is in the way is a courtesy: how the migration ends does not hang on it.
            if not ended.is_set():
                say("migration_watch_ended", "warning", reason=" ".join(str(error).split())[:500])

    thread = threading.Thread(target=work, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


def strongest_lock(connection: Connection, beside_it: Iterable[str] = ()) -> tuple[str | None, list[str]]:
    """The strongest lock that the open transaction holds on the service's tables, and on which.

    beside_it: tables of indexes that were built or dropped concurrently, whose locks are gone by then.
    """
    held = [(row.mode, row.relation) for row in connection.execute(MODES, {"books": list(NAMES)})]
    held += [(BESIDE, table) for table in beside_it]
    if not held:
        return None, []
    strongest = max((mode for mode, _ in held), key=STRENGTH.index)
    return strongest, sorted({relation for mode, relation in held if mode == strongest})
