"""The program look-at-host: one look by what the inventory wanted when site.yml last ran, as one line of JSON.

Whoever deploys may run it as root for the service that it is named for, and it takes nothing else from them.
"""

from __future__ import annotations

import json
import re
import sys

from . import looking

SETTINGS = "/etc/slipway/{app}/look.json"
# A line of its own: a login shell may have printed something already.
MARK = "slipway-looked "
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def main(arguments: list[str] | None = None, settings: str = SETTINGS) -> int:
    """0, or 1 after a sentence: what is wrong with the host is no failure of this program."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1 or not NAME.fullmatch(words[0]):
        print("usage: look-at-host SERVICE", file=sys.stderr)
        return 2
    app = words[0]
    try:
        with open(settings.format(app=app), encoding="utf-8") as stream:
            wanted = json.load(stream)
        seen = looking.look_closely(wanted)
        looking.leave(app, seen["complaints"])
    except (OSError, ValueError, KeyError, TypeError) as failure:
        print(f"The host was not looked at: {type(failure).__name__}: {failure}", file=sys.stderr)
        return 1
    print(MARK + json.dumps(seen))
    return 0
