"""No log waits for its day when it has grown: each platform's own logrotate, with the rules of the packages."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.templates import checkers
from tests.templates.conftest import Trees
from tests.templates.rendering import SUITES

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts the view in which logrotate runs")

# As postgresql-common's, and somebody's own that is read last.
RULE = "/var/log/%s/*.log {\n weekly\n rotate 10\n missingok\n}\n"
GROWN = (
    "nginx/access.log",
    "nginx/error.log",
    "auth.log",
    "syslog",
    "kern.log",
    "postgresql/x.log",
    "zzz/y.log",
)
SMALL = ("mail.log", "user.log")


@pytest.mark.parametrize("platform", sorted(SUITES))
def test_whatever_wrote_a_log_it_is_rotated_at_its_size(trees: Trees, tmp_path: Path, platform: str) -> None:
    suite = SUITES[platform]
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    for name in ("postgresql", "zzz"):
        rule = tmp_path / "etc/logrotate.d" / name
        rule.parent.mkdir(parents=True, exist_ok=True)
        rule.write_text(RULE % name)
    for name, size in [(name, 201 << 20) for name in GROWN] + [(name, 199 << 20) for name in SMALL]:
        log = tmp_path / "var/log" / name
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        os.truncate(log, size)
    host = trees[f"fleet-{platform}", "edge-1"]

    done = checkers.check(suite, [tmp_path, host.root], "logrotate", "--debug", "/etc/logrotate.conf")

    assert done.returncode == 0, done.stdout
    looked = set(re.findall(r"^considering log (\S+)$", done.stdout, re.MULTILINE))
    rotated = set(re.findall(r"^renaming (\S+) to \1\.1$", done.stdout, re.MULTILINE))
    assert rotated == {f"/var/log/{name}" for name in GROWN}, done.stdout
    assert looked >= {f"/var/log/{name}" for name in SMALL}
