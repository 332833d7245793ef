"""`slipway journal`: what was done on this host, and whether that is still what was written."""

from __future__ import annotations

from slipway import chain
from slipway.errors import StepError
from slipway.session import Report, Session

# More than a record has as a rule; a journal of larger ones shows fewer lines.
RECORD_BYTES = 1024


def journal(session: Session, lines: int, verify: bool) -> Report:
    """The newest records, oldest first. verify: refuse to show a journal that was altered."""
    found = session.journal.read(max(1 << 20, lines * RECORD_BYTES))
    result = {"entries": found.entries[-lines:], "torn": found.torn, "verified": None}
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
