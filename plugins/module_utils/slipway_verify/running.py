"""Other programs are asked what they know; none of them changes anything."""

from __future__ import annotations

import os
import subprocess


def run(*command: str, patience: int = 60) -> subprocess.CompletedProcess[str]:
    """Run a program in plain English; one that is missing or hangs has failed, and says so on stderr."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10"}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=patience, cwd="/", env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not there")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]} did not end within {patience} s")
