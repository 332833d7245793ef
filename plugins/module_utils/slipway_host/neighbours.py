"""What is on a host that Slipway's own files would push aside, and does not stand in the records of what it wrote."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from typing import Any

from ansible.module_utils.slipway_files import manifest, owners
from ansible.module_utils.slipway_host.programs import said

NGINX = "/etc/nginx"
JOURNAL = "/var/log/journal"
# Those that Slipway's own take the place of; what else is in rsyslog.d goes on being read.
RSYSLOG = ("/etc/rsyslog.conf", "/etc/rsyslog.d/50-default.conf")
# What of monitoring is one on a host, with the packages that bring these files.
MONITORING = {
    "/etc/prometheus/prometheus.yml": "prometheus*",
    "/etc/prometheus/alertmanager.yml": "prometheus*",
    "/etc/default/prometheus": "prometheus*",
    "/etc/default/prometheus-alertmanager": "prometheus*",
    "/etc/default/prometheus-node-exporter": "prometheus*",
    "/etc/grafana/grafana.ini": "grafana*",
}
# Lines that come from other hosts, and lines that go to them.
RECEIVES = re.compile(r"""\bim(tcp|udp|ptcp|relp|gssapi)\b|^\$(InputTCP|InputRELP|InputPTCP|UDP)Server""")
SENDS = re.compile(r"""\bom(fwd|relp)\b|\s@@?[\[\w(]""")


def facts(app: str) -> dict[str, Any]:
    """recorded (names of the service's sets ever written), services (each other one of this host, to what it alone can
    have), configured_before (the service that an earlier Slipway configured this host for; None for none),
    monitoring_ours (paths that the service's sets have), nginx_foreign and monitoring_foreign (paths), nginx_blocks,
    rsyslog_foreign (path to lines), private_view (why the files of a role could not be checked here; empty when they
    can), journal (bytes, and days that it reaches back; none once Slipway said how much it may be).
    """
    before = manifest.configured_before()
    services = sorted({*manifest.services(), *([before] if before else []), app})
    sets = {(name, each): manifest.read(name, each) for name in services for each in manifest.names(name)}
    written = {path for record in sets.values() for path in record.files}
    ours = {path for (name, _), record in sets.items() if name == app for path in record.files}
    return {
        "recorded": manifest.names(app),
        "services": owners.claims(app),
        "configured_before": before,
        "nginx_foreign": [] if f"{NGINX}/nginx.conf" in written else nginx(written),
        "nginx_blocks": [] if f"{NGINX}/nginx.conf" in written else nginx_blocks(),
        "rsyslog_foreign": {path: rsyslog(path) for path in RSYSLOG if path not in written and rsyslog(path)},
        "monitoring_ours": sorted(ours & MONITORING.keys()),
        "monitoring_foreign": monitoring(written),
        # A set that was written was checked.
        "private_view": "" if sets else private_view(),
        "journal": {"bytes": 0, "days": 0} if any(name == "rsyslog" for _, name in sets) else journal(),
    }


def nginx(written: set[str]) -> list[str]:
    """What serves, or is meant to, and is neither a package's nor one of the `written`: sites, conf.d, nginx.conf."""
    found = sorted(glob.glob(f"{NGINX}/sites-enabled/*") + glob.glob(f"{NGINX}/conf.d/*.conf"))
    found += [path for path in (f"{NGINX}/nginx.conf",) if os.path.exists(path)]
    shipped = conffiles("nginx*") if found else {}
    return [
        path for path in found if path not in written and digest(path) != shipped.get(os.path.realpath(path))
    ]


def nginx_blocks() -> list[str]:
    """stream and mail, where nginx.conf has such a block."""
    found = re.findall(r"^\s*(stream|mail)\s*\{", read(f"{NGINX}/nginx.conf"), re.MULTILINE)
    return sorted(set(found))


def rsyslog(path: str) -> list[str]:
    """The lines of a file by which rsyslog takes lines from other hosts or sends them there."""
    lines = [line.partition("#")[0].strip() for line in read(path).splitlines()]
    return [line for line in lines if RECEIVES.search(line) or SENDS.search(line)]


def monitoring(written: set[str]) -> list[str]:
    """Settings of whoever watches already that are neither a package's nor among the `written`."""
    found = [path for path in MONITORING if path not in written and os.path.exists(path)]
    shipped = {path: conffiles(MONITORING[path]).get(path) for path in found}
    return [path for path in found if digest(path) != shipped[path]]


def journal() -> dict[str, int]:
    """What the journal on disk takes, and how many days ago its first entry was."""
    size, first = 0, time.time()
    for path in glob.glob(f"{JOURNAL}/*/*.journal*"):
        with open(path, "rb") as stream:
            size += os.fstat(stream.fileno()).st_blocks * 512
            # head_entry_realtime of systemd's JOURNAL_FILE_FORMAT, in microseconds; 0 in a file without entries.
            stream.seek(184)
            began = int.from_bytes(stream.read(8), "little") / 1e6
        first = min(first, began or first)
    return {"bytes": size, "days": int((time.time() - first) // 86400)}


def conffiles(packages: str) -> dict[str, str]:
    """{path: md5} of the settings that installed packages of such names brought."""
    rows = said("dpkg-query", "--show", "--showformat=${Conffiles}\n", packages).splitlines()
    return {row.split()[0]: row.split()[1] for row in rows if len(row.split()) > 1}


def private_view() -> str:
    """Why this kernel lays no folder over another in a namespace of its own; empty when it does."""
    above = tempfile.mkdtemp(prefix="slipway-look-")
    mount = f'mount -t overlay overlay -o "ro,lowerdir={above}:/etc" /etc'
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    finally:
        shutil.rmtree(above)
    return "" if done.returncode == 0 else done.stderr.strip() or f"mount ended with {done.returncode}"


def digest(path: str) -> str:
    """The md5 of a file, as dpkg keeps it; empty where there is none."""
    try:
        with open(path, "rb") as stream:
            return hashlib.md5(stream.read(), usedforsecurity=False).hexdigest()
    except OSError:
        return ""


def read(path: str) -> str:
    """The text of a file; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
