"""Becomes another program after recording itself: python -m tests.lab.recorded RECORD READY_FD ABOUT HOLD ARGV…"""

import json
import os
import sys
from pathlib import Path

from tests.lab import process


def main(record: str, ready: str, about: str, hold: str, *argv: str) -> None:
    """Record this process, say so on the ready pipe, let go of the held locks and become argv."""
    process.save(Path(record), json.loads(about))
    os.write(int(ready), b"recorded")
    for descriptor in (ready, *filter(None, hold.split(","))):
        os.close(int(descriptor))
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
