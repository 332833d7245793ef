"""What a run says while it goes on: one JSON object a line, on stderr, as a service's own log has them.

Not by `logging`: an env.py that configures that, as Alembic's template does, would silence it.
"""

import json
import re
import sys
from datetime import datetime, timezone
from typing import Literal

# What ends a line, hides text or turns it round where a log is read; JSON escapes the rest.
UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_release = "unreleased"


def speak_for(release: str) -> None:
    """Each line from here on names this release."""
    global _release
    _release = release


def say(event: str, level: Literal["info", "warning"] = "info", **fields: object) -> None:
    """One line: the event, its fields, when, and of which release."""
    said = {
        "event": event,
        "level": level,
        "logger": "slipway_migrator",
        "timestamp": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
        "release": _release,
        **fields,
    }
    line = UNSAFE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(said, ensure_ascii=False, default=str)
    )
    print(line, file=sys.stderr, flush=True)
