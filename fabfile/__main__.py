"""`fab` itself, as `make .venv/installed` puts it into .venv/bin.

The script that pip installs reads Fabric's own options before it has read a line of these tasks: one that is wrong
would end with a traceback.
"""

from __future__ import annotations

from fabfile import namespace
from fabfile.tasks import words


def main() -> None:
    """Perform what is typed; ends the process with an exit code of docs/exit-codes.md."""
    words.made(namespace).run()


if __name__ == "__main__":
    main()
