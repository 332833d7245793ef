"""Units, disks and certificates."""

from __future__ import annotations

import fnmatch
import glob
import os
import ssl
import time

from .running import run

FULL, ENDS_WITHIN_DAYS = 90, 21
# Of each service of the host.
CERTIFICATES = [f"/etc/ssl/slipway/{at}{name}.pem" for at in ("", "*/") for name in ("host", "public")]
# What an authority gives, by ACME: a third of its time before the end it is renewed, and a day later it is late.
RENEWED, LEFT, LATE_SECONDS = "/etc/ssl/slipway/**/acme.pem", 1 / 3, 86400
# What Slipway states, and what keeps a host patched and reachable; any other failed unit is somebody else's.
OWN = ("slipway*", "nginx*", "postgresql*", "rsyslog*", "logrotate*", "ssh*", "systemd-journald*",
       "systemd-timesyncd*", "chrony*", "prometheus*", "apt-daily*", "unattended-upgrades*")  # fmt: skip
# What nginx, PostgreSQL and the service begin after, and how long it may take a boot.
ONLINE, SLOW_SECONDS = "systemd-networkd-wait-online.service", 20
PATHS = (
    "/",
    "/boot",
    "/var",
    "/var/log",
    "/var/lib/slipway",
    "/var/lib/postgresql",
    "/var/backups",
    "/srv",
)


# A container's kernel is its host's, and so is what it records.
OF_A_MACHINE = ("auditd",)


def units(wanted: list[str]) -> list[str]:
    """Complaints about units that have to run and to start at boot."""
    said = []
    if any(unit in OF_A_MACHINE for unit in wanted):
        contained = run("systemd-detect-virt", "--container", "--quiet").returncode == 0
        wanted = [unit for unit in wanted if not (contained and unit in OF_A_MACHINE)]
    for unit in wanted:
        state = run("systemctl", "is-active", unit).stdout.strip()
        if state != "active":
            said.append(f"{unit} is {state}: systemctl start {unit}, then journalctl -u {unit}")
        if run("systemctl", "is-enabled", "--quiet", unit).returncode != 0:
            said.append(f"{unit} does not start at boot: run site.yml")
    return said


def failed(app: str | None) -> tuple[list[str], list[str]]:
    """Complaints about units of Slipway's and of the service that have failed, and notes of the others."""
    listed = run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
    patterns = OWN + ((f"{app}@*", f"{app}-*") if app else ())
    # Of the network, network() says more.
    names = [line.split()[0] for line in listed.splitlines() if line.strip() and ONLINE not in line]
    own = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    sentence = "{} has failed: journalctl -u {} says why".format
    return [sentence(name, name) for name in own], [sentence(name, name) for name in names if name not in own]


def network() -> list[str]:
    """A note when the last boot waited long for an interface without network, and all that serves with it."""
    times = [f"ExecMain{at}TimestampMonotonic" for at in ("Start", "Exit")]
    shown = run("systemctl", "show", ONLINE, f"--property={','.join(['Result', *times])}").stdout
    said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    began, ended = (int(said.get(name) or 0) for name in times)
    seconds = max(0, ended - began) / 1e6
    if said.get("Result", "success") == "success" and seconds < SLOW_SECONDS:
        return []
    return [
        f"the last boot waited {seconds:.0f} s for a network interface, and nginx, PostgreSQL and the service with it: "
        "networkctl says which has none; where it needs none, optional: true for it in /etc/netplan"
    ]


def disks(app: str | None) -> list[str]:
    """Complaints about the file systems that Slipway writes to; a snap's image is full by nature, and none of them."""
    seen: dict[int, str] = {}
    for path in (*PATHS, f"/srv/{app}"):
        if os.path.isdir(path):
            seen.setdefault(os.stat(path).st_dev, mount_of(path))
    said = []
    for where in seen.values():
        found = os.statvfs(where)
        said += used(where, found.f_blocks - found.f_bfree, found.f_bavail, "")
        said += used(where, found.f_files - found.f_ffree, found.f_favail, " of its inodes")
    return said


def used(where: str, taken: int, left: int, what: str) -> list[str]:
    """A complaint when more than FULL percent are taken, counted as df does."""
    percent = -(-100 * taken // (taken + left)) if taken + left else 0
    return [f"{where} is full to {percent} %{what}: make room below {FULL} %"] if percent > FULL else []


def mount_of(path: str) -> str:
    """The mount point that the path is below."""
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def certificates() -> list[str]:
    """Complaints about certificates that end soon or cannot be read."""
    said = []
    for path in (path for pattern in CERTIFICATES for path in sorted(glob.glob(pattern))):
        answer = run("openssl", "x509", "-noout", "-checkend", str(ENDS_WITHIN_DAYS * 86400), "-in", path)
        if answer.returncode != 0 and "will expire" in answer.stdout:
            said.append(f"{path} ends within {ENDS_WITHIN_DAYS} days: renew it and run site.yml")
        elif answer.returncode != 0:
            said.append(f"{path} cannot be read ({answer.stderr.strip()}): run site.yml")
    return said + [late for path in sorted(glob.glob(RENEWED, recursive=True)) if (late := _late(path))]


def _late(path: str) -> str:
    """A complaint about a certificate that was to be renewed, "" where it is not yet."""
    answer = run("openssl", "x509", "-noout", "-startdate", "-enddate", "-in", path)
    said = dict(line.partition("=")[::2] for line in answer.stdout.splitlines())
    if {"notBefore", "notAfter"} - set(said):
        return f"{path} cannot be read ({answer.stderr.strip()}): run site.yml"
    begins, ends = (ssl.cert_time_to_seconds(said[name]) for name in ("notBefore", "notAfter"))
    if time.time() < ends - LEFT * (ends - begins) + LATE_SECONDS:
        return ""
    return (
        f"{path} ends on {said['notAfter']} and was to be renewed: journalctl -u 'slipway-acme-*' says why it was not "
        "(docs/runbooks/certificate-not-renewed.md)"
    )
