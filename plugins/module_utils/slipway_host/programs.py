"""What is installed on a host and what runs there, as dpkg and systemd say."""

from __future__ import annotations

import subprocess

FORMAT = "${db:Status-Status}\t${Package}\t${Version}\n"
# What dpkg finishes by itself, or has only the settings of.
AT_REST = {"config-files", "triggers-awaited", "triggers-pending", "not-installed"}
ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated"}


def packages() -> tuple[dict[str, str], list[str]]:
    """{name: version} of what is installed, and the names of packages that dpkg began and did not finish."""
    try:
        said = subprocess.run(
            ["dpkg-query", "--show", f"--showformat={FORMAT}"], capture_output=True, text=True, check=False
        ).stdout
    except FileNotFoundError:
        return {}, []
    rows = [line.split("\t") for line in said.splitlines()]
    installed = {
        name: version for status, name, version in rows if status == "installed" or status[:8] == "triggers"
    }
    return installed, sorted({name for status, name, _ in rows if status not in AT_REST | {"installed"}})


def units() -> tuple[list[str], list[str]]:
    """The services and timers that run, and those that a boot starts."""
    said = _systemctl("show", "--property=Id,ActiveState,UnitFileState", "*.service", "*.timer")
    loaded = [
        dict(line.split("=", 1) for line in block.splitlines()) for block in said.split("\n\n") if block
    ]
    running = [unit["Id"] for unit in loaded if unit.get("ActiveState") == "active"]
    # Instances are known once they are loaded; what is not loaded is known by its file.
    enabled = {unit["Id"] for unit in loaded if unit.get("UnitFileState") in ENABLED}
    files = _systemctl("list-unit-files", "--no-legend", "--plain", "--type=service,timer")
    enabled |= {row[0] for row in map(str.split, files.splitlines()) if len(row) > 1 and row[1] in ENABLED}
    return sorted(running), sorted(enabled)


def _systemctl(*arguments: str) -> str:
    try:
        return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
