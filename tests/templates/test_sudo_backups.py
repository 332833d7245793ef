"""What sudo does with the one rule by which who deploys has backups made; each platform's own sudo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.templates import checkers
from tests.templates.checkers import check
from tests.templates.conftest import Trees
from tests.templates.rendering import SUITES

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes the users that a host has")

PROGRAM = "/usr/local/lib/slipway/database-backup"
SAYS = '#!/bin/sh\necho "$(id -un) uid=$SUDO_UID config=$SLIPWAY_BACKUP_CONFIG path=$PYTHONPATH $*"\n'
PERMIT = "".join(f"{kind} sufficient pam_permit.so\n" for kind in ("auth", "account", "session"))


def host(suite: str, folder: Path, sudoers: str) -> Path:
    """A layer with the rule, the user that backups belong to, and a program that says who runs it, and how."""
    files = {
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/pam.d/sudo": PERMIT,
        "etc/sudoers.d/slipway-shop": sudoers,
        PROGRAM[1:]: SAYS,
    }
    for name, line in (("passwd", "2009:2009::/nonexistent:/usr/sbin/nologin"), ("group", "2009:")):
        files[f"etc/{name}"] = f"{(checkers.root(suite) / 'etc' / name).read_text()}slipway_backup:x:{line}\n"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "etc/sudoers.d/slipway-shop").chmod(0o440)
    (folder / PROGRAM[1:]).chmod(0o755)
    return folder


@pytest.mark.parametrize("platform", sorted(SUITES))
def test_who_deploys_runs_the_program_as_its_user_and_tells_it_nothing_but_its_words(
    trees: Trees, tmp_path: Path, platform: str
) -> None:
    suite = SUITES[platform]
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    layer = host(suite, tmp_path, trees[f"lab-{platform}", "shop-1"].text("etc/sudoers.d/slipway-shop"))

    def typed(words: str) -> str:
        done = check(suite, [layer], "chroot", "--userspec=deploy:deploy", "/", *words.split())
        return f"{done.returncode} {done.stdout.strip()}"

    runs = f"sudo -n -u slipway_backup {PROGRAM} --json list"
    assert typed(runs) == "0 slipway_backup uid=2001 config= path= --json list"
    assert typed(f"env SLIPWAY_BACKUP_CONFIG=/tmp/x PYTHONPATH=/tmp SUDO_UID=0 {runs}") == typed(runs)
    assert "not allowed to set" in typed(
        f"sudo -n -u slipway_backup SLIPWAY_BACKUP_CONFIG=/tmp/x {PROGRAM} list"
    )
    assert "not allowed to preserve" in typed(f"sudo -n -E -u slipway_backup {PROGRAM} list")
    for other in (
        "sudo -n -u slipway_backup /usr/bin/id",
        f"sudo -n {PROGRAM} list",
        "sudo -n -u shop /usr/bin/id",
    ):
        assert "a password is required" in typed(other), other
