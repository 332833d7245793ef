"""Which settings the new server has, in its own words, and which of its own first file it has not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from database_backup.errors import FailedError
from database_backup.upgrade.cluster import Cluster, as_account
from database_backup.upgrade.settings import Settings

SETTING = re.compile(r"[ \t]*([a-z_]\w*)(?=[ \t=])", re.IGNORECASE)
INCLUDES = ("include", "include_dir", "include_if_exists")


def unknown(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those that the new server does not have; an extension's own, such as a.b, are not asked about.

    Raises FailedError when its program does not run.
    """
    asked = [name for name in sorted(set(names)) if "." not in name]
    done = _ask(settings, "--describe-config")
    if done.returncode != 0:
        raise FailedError(f"{settings.new.programs / 'postgres'} does not run: {done.stderr.strip()[-300:]}")
    listed = {line.split("\t", 1)[0].lower() for line in done.stdout.splitlines()}
    # Some that it has, such as role, it does not list.
    return [name for name in asked if name.lower() not in listed and not _has(settings, name)]


def leave_out(settings: Settings, new: Cluster) -> list[str]:
    """Turns into comments what postgresql-common wrote into the new cluster's file and its server refuses; the names.

    Its defaults, in createcluster.conf, are the same for every major.
    """
    conf = new.side.conf / "postgresql.conf"
    lines = conf.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [said[1] if (said := SETTING.match(line)) else "" for line in lines]
    gone = unknown(settings, {name for name in found if name and name not in INCLUDES})
    if gone:
        mark = f"# {new.side.version} has no such setting: "
        text = (mark + line if name in gone else line for name, line in zip(found, lines, strict=True))
        new.write(conf, "".join(text), conf)
    return gone


def _has(settings: Settings, name: str) -> bool:
    return _ask(settings, "-D", "/", "-c", "config_file=/dev/null", "-C", name).returncode == 0


def _ask(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*as_account(settings.account), str(settings.new.programs / "postgres"), *words],
        capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL,
    )  # fmt: skip
