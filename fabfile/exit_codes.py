"""What the exit code of a `fab` command says; docs/exit-codes.md and `fab --help TASK` have it from here."""

from __future__ import annotations

# As sysexits(3) has it, and no level of monitoring.
USAGE = 64
UNKNOWN_WORDS = "words that fab does not know; nothing was asked of any host"
CODES = {
    0: "done, or there was nothing to do",
    1: "a fault in fab or slipway itself",
    2: "refused before anything was changed: the sentence says what to put right",
    3: "a step failed, and every host serves what it served before; of a reading task: something is wrong or was "
    "found, or a host did not answer",
    4: "somebody else is at work, or keeps everybody out; nothing was changed",
    5: "not root on the host; nothing was changed",
    6: "not finished: the hosts may differ, or customers do not get what is live; the sentence says what ends it",
    7: "a newer deploy has taken over; this one changed nothing more",
    USAGE: UNKNOWN_WORDS,
    130: "interrupted while reading",
}
STATUS = {
    0: "ok",
    1: "warning",
    2: "critical",
    3: "unknown: something could not be read, or the wish was refused and nothing was asked",
    4: "a fault in db-status itself, which says nothing of the database",
    USAGE: UNKNOWN_WORDS,
}
# Of timeout(1): no command of the service ends with them.
TOO_LONG, NOT_RUN = 124, 125
EXEC = {
    TOO_LONG: "the command was ended before its end: it took too long, or its caller was gone",
    NOT_RUN: "the command was not run, or was lost sight of: the sentence says which",
    USAGE: f"the command's own, or {UNKNOWN_WORDS}",
    255: "a signal ended the command",
}


ALERTS = {0: "nothing fires", 1: "a warning fires", 2: "a critical alert fires"} | {
    3: "unknown: the monitoring host, or a program of it, did not answer, or the wish was refused",
    USAGE: UNKNOWN_WORDS,
}
DOCTOR = {
    0: "every item is met",
    1: "an item is not met",
    2: "something is wrong: what an item stands on is broken",
    3: "unknown: a host or the database was not looked at, or the wish was refused",
    USAGE: UNKNOWN_WORDS,
}


def of(task: str) -> dict[int, str]:
    """The codes of one task; db-status, alerts and doctor have monitoring's, and exec its command's but for these."""
    return {"db-status": STATUS, "alerts": ALERTS, "doctor": DOCTOR, "exec": EXEC}.get(task, CODES)


def text(task: str) -> str:
    """The same as lines for `fab --help`."""
    return "\n".join(["Exit codes:", *(f"  {code:>3}  {said}" for code, said in of(task).items())])
