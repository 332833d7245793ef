"""What `ansible-inventory` says of an inventory: a second's work, so its answer is kept.

It lies under build/inventory for as long as no file it was made of has changed. Encrypted files are left out: no secret
is needed to deploy.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fabfile.errors import RefusedError

PROJECT = Path(__file__).parents[2]
VAULT = b"$ANSIBLE_VAULT"
# Values that playbooks derive, which an inventory may override.
PLAYBOOKS = "playbooks"


def listed(inventory: Path) -> dict[str, Any]:
    """What ansible-inventory says of an inventory's folder. Raises RefusedError when it cannot be read."""
    digest = hashlib.sha256()
    files = dict(_files(inventory)) | dict(_files(PROJECT / PLAYBOOKS / "group_vars"))
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    kept = PROJECT / "build/inventory" / f"{inventory.name}-{digest.hexdigest()[:16]}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    said = _ask_ansible(inventory, files)
    kept.parent.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(said), encoding="utf-8")
    temporary.replace(kept)
    return said


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Path (from the repository's top) and content of every plain file below folder, links followed."""
    for directory, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(directory, name)
            content = path.read_bytes()
            if path.suffix in (".yml", ".yaml", "") and not content.startswith(VAULT):
                yield str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path), content


def _ask_ansible(inventory: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """What ansible-inventory says of a copy without the encrypted files, which nobody here can read."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in files.items():
            copy = Path(scratch, name.lstrip("/"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        where = str(inventory.relative_to(PROJECT) if inventory.is_relative_to(PROJECT) else inventory)
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-inventory")),
                "--list",
                f"--inventory={Path(scratch, where.lstrip('/'))}",
                f"--playbook-dir={Path(scratch, PLAYBOOKS)}",
            ],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
        )
    if done.returncode != 0:
        raise RefusedError(
            f"The inventory {inventory} cannot be read; nothing was changed.\n{done.stderr.strip()}"
        )
    return dict(json.loads(done.stdout))
