"""Run a command where the tests' engine is podman: python -m tests.containers COMMAND..."""

import os
import subprocess
import sys
from pathlib import Path

from tests.containers import engine
from tests.lab.errors import LabError


def main(argv: list[str]) -> int:
    """The command's exit code."""
    try:
        with engine.running() as found:
            found.serve()
            command = found.namespace.command(argv, Path.cwd())
            return subprocess.run(command, env={**os.environ, **found.environment}).returncode
    except LabError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
