"""`slipway journal`: what was done on this host, and whether that is still what was written."""

from __future__ import annotations

from slipway.errors import StepError
from slipway.journal import chain
from slipway.turns.session import Report, Session

# More than a record has as a rule; a journal of larger ones shows fewer lines.
RECORD_BYTES = 1024
# A journal of a hundred thousand records is shorter.
WHOLE = 1 << 28


def journal(session: Session, lines: int, verify: bool, step: str | None = None) -> Report:
    """The newest records, oldest first. verify: refuse to show a journal that was altered.

    step: only those of this step and of its parts, of the whole journal: `migrate` has migrate.begin with it.
    """
    found = session.journal.read(WHOLE if step else max(1 << 20, lines * RECORD_BYTES))
    entries = [
        entry
        for entry in found.entries
        if not step or entry["step"] == step or entry["step"].startswith(f"{step}.")
    ]
    result = {"entries": entries[-lines:], "torn": found.torn, "verified": None}
    if not verify:
        return Report(False, result)
    verdict = chain.verify(session.journal.path, session.journal.head)
    if altered := verdict.altered:
        raise StepError(
            "journal-altered",
            f"Line {altered.line} of {session.journal.path} is not as slipway wrote it: {altered.reason}. "
            "The lines before it are whole. Keep the file as it is, and ask who else is root on this host.",
            line=altered.line,
            sequence=altered.sequence,
            reason=altered.reason,
        )
    return Report(False, {**result, "verified": verdict.facts()})
