"""The hosts are asked as root, by Ansible: whoever deploys is not root there (docs/adr/0018), whoever patches is."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fabfile.errors import FabError, RefusedError
from fabfile.hosts.inventory import PROJECT

VAULT = "ANSIBLE_VAULT_PASSWORD_FILE"
LINES = 12
DIES_WITH_PARENT = 1
# Loaded here: between fork and exec a process with threads may do next to nothing.
LIBC = ctypes.CDLL(None)

Answers = dict[str, dict[str, Any]]


class HostError(FabError):
    """A host's part failed, or it did not answer."""

    exit_code = 3


def ask(name: str, what: str, hosts: Sequence[str], given: Mapping[str, Any] | None = None) -> Answers:
    """What each host handed over of playbooks/patch.yml; one that is missing did not answer.

    what: look or part. given: further variables. Raises HostError when nobody answers.
    """
    with tempfile.TemporaryDirectory(prefix="fab-patch-") as folder:
        variables = {**(given or {}), "patch_do": what, "patch_answers": folder}
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={PROJECT / 'inventory' / name}",
            f"--limit={','.join(hosts)}", f"--extra-vars={json.dumps(variables)}", "playbooks/patch.yml",
        ]  # fmt: skip
        environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        # A session of its own: Ctrl-C is obeyed between two hosts, not in the middle of one's part.
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True, preexec_fn=AHEAD,
            check=False,
        )  # fmt: skip
        found = {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")
        }
    if not found:
        tail = "\n".join(done.stdout.strip().splitlines()[-LINES:])
        raise HostError(
            f"{', '.join(hosts)}: ansible-playbook playbooks/patch.yml came to no answer:\n{tail}"
        )
    return found


def _with_parent() -> None:
    # Nobody reboots a host for a fab that was killed.
    LIBC.prctl(DIES_WITH_PARENT, signal.SIGTERM)


AHEAD = _with_parent if sys.platform == "linux" else None


def require_vault(name: str) -> None:
    """Raise RefusedError where an inventory is encrypted and Ansible would have to ask for its passphrase."""
    vaults = (PROJECT / "inventory" / name).glob("group_vars/**/vault.yml")
    if any(path.read_bytes().startswith(b"$ANSIBLE_VAULT") for path in vaults) and not os.environ.get(VAULT):
        raise RefusedError(
            f"The inventory {name} has an encrypted vault.yml, and nobody is asked for its passphrase: name the file "
            f"that has it, as in: {VAULT}=~/.vault-{name} fab patch --env {name}. Nothing was changed."
        )
