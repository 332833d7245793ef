"""The second repository: it is fetched, what is here stays, and a cluster comes back from it alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fabfile.programs.zipped import build_helper
from tests.database.physical_ground import Ground, as_owner, ground
from tests.database.program_ground import PACKAGE

# As sshd does it for whoever logs in as the copy's user, whatever was typed.
SSH = """#!/bin/sh
shift
export SSH_ORIGINAL_COMMAND="$*" SLIPWAY_BACKUP_CONFIG={folder}/serving.conf
exec /usr/bin/python3 -I {folder}/repository-copy serve
"""
DAEMON = """
use chroot = no
read only = yes
[repository]
path = {repository}
[incoming]
path = {folder}/incoming
read only = no
write only = yes
"""


# RestrictSUIDSGID of its unit, as the program meets it: it may set no mode with such a bit, even where it is set.
CONFINED = """
import os, sys
path = sys.argv.pop(1)
sys.path.insert(0, path)
sys.argv[0] = path
chmod = os.chmod
def confined(path, mode, **more):
    if mode & 0o6000:
        raise PermissionError(1, "Operation not permitted", str(path))
    chmod(path, mode, **more)
os.chmod = confined
from database_backup import cli
raise SystemExit(cli.main())
"""


@dataclass(frozen=True)
class Copier:
    """The other host: its folder of copies, and its program."""

    shop: Ground

    @property
    def folder(self) -> Path:
        return self.shop.directory / "copier"

    def set_up(self, keep_days: int = 14) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "copies").mkdir(exist_ok=True)
        (self.folder / "repository-copy").write_bytes(build_helper(PACKAGE))
        ssh = self.folder / "ssh"
        ssh.write_text(SSH.format(folder=self.folder))
        ssh.chmod(0o755)
        (self.folder / "rsyncd.conf").write_text(
            DAEMON.format(repository=self.shop.repository, folder=self.folder)
        )
        receipt = self.shop.directory / "receipt.json"
        (self.folder / "serving.conf").write_text(
            f"[serve]\ndaemon = {self.folder}/rsyncd.conf\nreceipt = {receipt}\n"
        )
        (self.folder / "copy.conf").write_text(
            f"[copy]\nstanza = shop\nfolder = {self.folder}\nhost = backup-1\nshell = {ssh}\nthere = db-1\n"
            f"keep_days = {keep_days}\n"
        )
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "--reference", self.shop.data, self.folder], check=True)
        # Its marks are for a group, so what is made in it is, too.
        self.folder.chmod(0o2755)

    def ask(self, *words: str) -> tuple[int, dict[str, Any]]:
        """(status, answer) of a command of the other host's program."""
        program = as_owner(
            [sys.executable, "-c", CONFINED, str(self.folder / "repository-copy"), "--json", *words]
        )
        done = subprocess.run(
            program, env={**os.environ, "SLIPWAY_BACKUP_CONFIG": str(self.folder / "copy.conf")}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def fetch(self) -> dict[str, Any]:
        """What the copy has after one more fetch, which has to go well."""
        status, answer = self.ask("fetch")
        assert status == 0, answer
        return dict(answer["result"])

    @property
    def copy(self) -> Path:
        (found,) = (self.folder / "copies").glob("*/repository")
        return found

    def files(self) -> dict[str, bytes]:
        """Every file of the copy's backups and WAL that pgBackRest never changes."""
        return {
            path.relative_to(self.copy).as_posix(): path.read_bytes()
            for top in ("archive", "backup") for path in (self.copy / top).rglob("*")
            if path.is_file() and "info" not in path.name
        }  # fmt: skip

    def as_seen(self, words: str, sent: str = "") -> subprocess.CompletedProcess[str]:
        """What somebody with the copy's key is answered who types that."""
        return subprocess.run(
            as_owner([str(self.folder / "ssh"), "db-1", *words.split()]), input=sent, capture_output=True,
            text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def copier() -> Iterator[Copier]:
    """A server with a full backup, and a host that is to copy its repository."""
    with ground(prepared=True) as shop:
        shop.configure(copied_by="backup-1")
        shop.done("list")
        made = Copier(shop)
        made.set_up()
        yield made


def test_a_cluster_comes_back_on_a_host_that_has_nothing_from_the_copy_and_the_key_alone(
    copier: Copier,
) -> None:
    shop = copier.shop
    assert "no copy yet" in shop.ask("list")[1]["message"]
    shop.sql("CREATE TABLE shop.late AS SELECT generate_series(1, 1000) AS id")
    shop.done("point", "--name=the-last-moment")
    shop.archived()
    shop.done("list")
    fetched = copier.fetch()
    assert fetched["labels"] == [each["label"] for each in shop.done("list")["backups"]]
    assert f"On backup-1, as of {fetched['at']}: 1 backups" in shop.ask("list")[1]["message"]

    with ground(other=True) as new:
        assert new.done("prepare", "--no-new")["fresh"] is True
        (copier.folder / "incoming").mkdir()
        if os.geteuid() == 0:
            shutil.chown(copier.folder / "incoming", shop.data.owner())
        # A fetch that is under way, by the timer, is waited for.
        fetching = ["flock", str(copier.folder / ".copy.lock"), "sh", "-c", "echo begun; sleep 2"]
        with subprocess.Popen(fetching, stdout=subprocess.PIPE) as begun:
            assert begun.stdout is not None
            begun.stdout.readline()
            status, answer = copier.ask("give")
        assert status == 0, answer
        new.repository.rmdir()
        shutil.copytree(copier.folder / "incoming", new.repository)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "--reference", new.data, new.repository], check=True)
        new.configure(key="a key that the operator did not keep")
        assert "Either the key" in new.refused(2, "adopt")
        new.configure()
        new.done("adopt")
        assert "another cluster" in new.refused(2, "prepare", "--no-new")
        result = new.done("in-place", "--name=the-last-moment", "--database=shop")
        assert new.sql("SELECT count(*) FROM shop.late") == 1000
        assert result["safety"] == ""
        assert new.done("prepare", "--no-new") == {"changed": False, "done": [], "waits": "", "fresh": False}
        assert new.done("continuity")["gaps"] == []
        assert new.done("restore-test")["exact"] is True


def test_whatever_becomes_of_the_repository_what_was_copied_stays_as_it_came(copier: Copier) -> None:
    shop = copier.shop
    copier.fetch()
    before = copier.files()
    for path in shop.files("archive") + shop.files("backup"):
        if path.name.endswith(".zst"):
            path.write_bytes(b"not what it was")
        elif "info" not in path.name:
            path.unlink()
    copier.fetch()
    assert copier.files() == before
    shutil.rmtree(shop.repository / "backup")
    shutil.rmtree(shop.repository / "archive")
    status, answer = copier.ask("fetch")
    assert (status, "What is here stays as it is" in answer["message"]) == (2, True)
    assert copier.files() == before
    assert json.loads((shop.directory / "receipt.json").read_text())["ok"] is False


def test_another_cluster_gets_a_copy_of_its_own(copier: Copier) -> None:
    copier.fetch()
    before = copier.files()
    (first,) = (copier.folder / "copies").iterdir()
    identity = copier.shop.repository / "slipway/shop/identity.json"
    identity.write_text(json.dumps({"system": "7000000000000000001", "version": "2.45"}))
    copier.fetch()
    assert sorted(path.name for path in (copier.folder / "copies").iterdir()) == sorted(
        (first.name, "7000000000000000001")
    )
    shutil.rmtree(copier.folder / "copies/7000000000000000001")
    assert copier.files() == before


def test_what_went_there_goes_here_when_its_days_are_over(copier: Copier) -> None:
    shop = copier.shop
    copier.fetch()
    oldest = shop.done("list")["backups"][0]["label"]
    for _ in range(2):
        shop.done("backup", "--type=full")
    assert oldest not in [each["label"] for each in shop.done("list")["backups"]]
    assert oldest in copier.fetch()["labels"]
    gone = copier.copy.parent / "gone.json"
    noted = json.loads(gone.read_text())
    assert any(name.startswith(f"backup/shop/{oldest}/") for name in noted["files"])
    old = {name: since - 15 * 86400 for name, since in noted["files"].items()}
    gone.write_text(json.dumps({"looked": 0, "files": old}))
    found = copier.fetch()
    assert oldest not in found["labels"]
    assert len(found["labels"]) == 2
    assert not (copier.copy / "backup/shop" / oldest).exists()


def test_a_fetch_that_was_killed_is_made_up_for_by_the_next(copier: Copier) -> None:
    slow = copier.folder / "ssh"
    whole = slow.read_text()
    slow.write_text(whole.replace("shift\n", "shift\nsleep 1\n"))
    program = as_owner([sys.executable, "-I", str(copier.folder / "repository-copy"), "fetch"])
    environment = {**os.environ, "SLIPWAY_BACKUP_CONFIG": str(copier.folder / "copy.conf")}
    for seconds in (0.5, 1.8, 3.0):
        begun = subprocess.Popen(
            program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        begun.kill()
        begun.wait()
        subprocess.run(["flock", str(copier.folder / ".copy.lock"), "true"], check=True)
    slow.write_text(whole)
    copier.fetch()
    theirs = {
        path.relative_to(copier.shop.repository).as_posix()
        for top in ("archive", "backup") for path in (copier.shop.repository / top).rglob("*")
        if path.is_file() and "info" not in path.name and "backup.history" not in path.as_posix()
        and "latest" not in path.parts
    }  # fmt: skip
    assert set(copier.files()) == theirs


def test_the_key_of_the_copy_reads_the_repository_and_does_nothing_else(copier: Copier) -> None:
    for typed in ("sh", "rsync --server . /", "rsync --server --sender . /etc", "receipt now", ""):
        assert "does nothing else" in copier.as_seen(typed).stderr + copier.as_seen(typed).stdout
    for sent in ("", "[]", "{}", "x" * (1 << 17)):
        assert "no receipt" in copier.as_seen("receipt", sent).stderr
    assert not (copier.shop.directory / "receipt.json").exists()
    target = copier.folder / "planted"
    target.write_text("planted")
    rsync = ["rsync", f"--rsh={copier.folder / 'ssh'}", str(target)]
    for module in ("repository", "incoming"):
        done = subprocess.run(
            as_owner([*rsync, f"db-1::{module}/planted"]), capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
    assert not (copier.shop.repository / "planted").exists()


def test_a_full_disk_ends_a_fetch_and_nothing_that_was_there(copier: Copier) -> None:
    small = copier.folder / "copies"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", small], check=True)
    try:
        status, answer = copier.ask("fetch")
        assert (status, "No space left on device" in answer["message"]) == (3, True)
        assert "No space left" in json.loads((copier.shop.directory / "receipt.json").read_text())["problem"]
    finally:
        subprocess.run(["umount", small], check=True)
    copier.fetch()


@pytest.mark.skipif(os.geteuid() != 0, reason="a group that the server's user is not in is given by root")
def test_what_lies_beside_the_repository_is_for_the_group_that_may_copy_it(copier: Copier) -> None:
    shop = copier.shop
    shutil.rmtree(shop.repository / "slipway")
    shutil.chown(shop.repository, group="games")
    shop.repository.chmod(0o2750)
    shop.done("list")
    found = list((shop.repository / "slipway").rglob("*"))
    assert any(path.name == "identity.json" for path in found)
    assert {path.group() for path in found} == {"games"}
    assert {oct(path.stat().st_mode & 0o7777) for path in found} == {"0o2750", "0o640"}
