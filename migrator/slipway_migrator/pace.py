"""How fast work in the background may go: it rests after each step, and longer the busier the database is."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

# What a role sees without privileges: all locks, and the states of its own sessions, which are the service's.
# The lag of replicas is shown to members of pg_monitor alone; to others there is none.
LOAD = text("""
    SELECT (SELECT count(*) FROM pg_locks WHERE NOT granted) AS waiting,
           (SELECT count(*) FROM pg_stat_activity
             WHERE state = 'active' AND backend_type = 'client backend'
               AND pid <> pg_backend_pid()) AS active,
           (SELECT coalesce(extract(epoch FROM max(replay_lag)), 0) FROM pg_stat_replication) AS lag
""")
# Seconds. A database at rest is left alone as long as the step took; where somebody waits for a lock, YIELD.
LEAST, YIELD, MOST = 0.01, 1.0, 30.0
ACTIVE_SHARE = 0.5
WAITING_SHARE = 5.0
LAG_ALLOWED = 1.0
# A step is to take between these; its size is halved or doubled until it does.
SHORT, LONG = 0.1, 0.5


@dataclass(frozen=True)
class Load:
    """waiting: sessions that wait for a lock. active: others at work. lag: seconds, of the last replica."""

    waiting: int = 0
    active: int = 0
    lag: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether work in the background is in somebody's way, or may be."""
        return self.waiting > 0 or self.lag > LAG_ALLOWED


def load(connection: Connection) -> Load:
    """The load of the server at this moment."""
    row = connection.execute(LOAD).one()
    return Load(int(row.waiting), int(row.active), float(row.lag))


def rest(seconds: float, now: Load) -> float:
    """The seconds to rest after a step of `seconds`, from LEAST to MOST.

    The step's own time, half as much more for each session at work, five times as much for each that waits
    for a lock; not less than YIELD while somebody waits, nor than a replica is behind, above a second.
    """
    wanted = seconds * (1 + ACTIVE_SHARE * now.active + WAITING_SHARE * now.waiting)
    if now.waiting:
        wanted = max(wanted, YIELD)
    if now.lag > LAG_ALLOWED:
        wanted = max(wanted, now.lag)
    return min(max(wanted, LEAST), MOST)


def next_size(size: int, seconds: float, most: int) -> int:
    """How many rows the next step takes, after one of `size` rows took so long; from 1 to `most`."""
    if seconds > LONG:
        return max(size // 2, 1)
    return min(size * 2, most) if seconds < SHORT else size
