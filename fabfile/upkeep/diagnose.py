"""`fab diagnose`: what somebody needs who looks into an incident later, in one archive, secrets blacked out."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path

from fabfile.bundle.archive import PROJECT
from fabfile.errors import FabError
from fabfile.hosts.connection import Remote
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet

# What the user who deploys may read, by the file it goes into.
COMMANDS = {
    "units.txt": "systemctl --no-pager list-units --all '{app}@*' nginx.service rsyslog.service 'postgresql@*'",
    "unit.txt": "systemctl --no-pager --lines=0 status '{app}@*'",
    "service.jsonl": "journalctl --quiet --no-pager --output=cat --unit='{app}@*' --lines=1000",
    "migrations.txt": "journalctl --quiet --no-pager --output=short-iso --unit='{app}-migrate@*' --lines=200",
    "memory.txt": "cat /proc/meminfo /proc/loadavg /proc/pressure/cpu /proc/pressure/io /proc/pressure/memory",
    "disks.txt": "df --human-readable; df --inodes --human-readable",
    "sockets.txt": "ss --summary; ss --no-header --listening --numeric --tcp",
    "processes.txt": "ps -eo pid,ppid,user,stat,etime,rss,pcpu,comm --sort=-rss",
    "clock.txt": "date --utc --iso-8601=ns; uptime",
}
READINGS = {"status.json": ["status"], "releases.json": ["list"], "audit.json": ["journal", "--lines=200"]}
SECRET = re.compile(
    r"((?:password|passwd|secret|token|authorization|cookie|api[_-]?key|dsn)[\"']?\s*[:=]\s*(?:bearer\s+)?)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;}&]+)",
    re.IGNORECASE,
)
IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://[^/\s:@]*:)[^@\s/]+@")


def redacted(text: str) -> str:
    """The text without the values of what is called a password, token, key or cookie, or stands in an address."""
    return IN_ADDRESS.sub(r"\1***@", SECRET.sub(r"\1***", text))


def diagnose(environment: Environment, output: str) -> str:
    """Write the archive and return a sentence that says where. output: its path, "" for build/diagnose."""
    began = time.monotonic()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = Path(output) if output else PROJECT / f"build/diagnose/{environment.name}-{stamp}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Fleet(environment) as fleet:
        found = fleet.attempt(lambda remote: _collect(remote, environment.app))
        missing = {name: str(failure) for name, failure in fleet.unreachable.items()}
    with tarfile.open(path, "w:gz") as archive:
        for name, value in found.items():
            files = value if isinstance(value, dict) else {"failed.txt": str(value)}
            for file, text in files.items():
                _add(archive, f"{environment.name}-{stamp}/{name}/{file}", text)
        for name, reason in missing.items():
            _add(archive, f"{environment.name}-{stamp}/{name}/unreachable.txt", reason)
    path.chmod(0o600)
    told = f" {', '.join(missing)} did not answer." if missing else ""
    return f"{path} holds what {len(found)} host(s) say, in {time.monotonic() - began:.1f} s.{told}"


def _collect(remote: Remote, app: str) -> dict[str, str]:
    files = {}
    for name, command in COMMANDS.items():
        try:
            done = remote.connection.run(
                command.format(app=app), hide=True, warn=True, timeout=20, in_stream=False
            )
            files[name] = redacted(done.stdout + done.stderr)
        except Exception as failure:
            # One that hangs is part of the incident, and no reason to bring nothing.
            files[name] = f"{type(failure).__name__}: {redacted(str(failure))}\n"
    for name, words in READINGS.items():
        try:
            (answer,) = remote.perform(words)
            files[name] = redacted(json.dumps(answer.result or {"error": answer.message}, indent=2))
        except FabError as failure:
            files[name] = json.dumps({"error": redacted(str(failure))})
    return files


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), int(time.time()), 0o600
    archive.addfile(member, io.BytesIO(data))
