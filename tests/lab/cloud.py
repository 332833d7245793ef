"""What a cloud tells the first boot of an instance: cloud-init's seed (NoCloud), in the image's own language."""

import json
from collections.abc import Sequence
from typing import Any

from tests.lab import variants
from tests.lab.platforms import Platform
from tests.lab.ssh import Login

SEED = "var/lib/cloud/seed/nocloud"
# Seconds: how long the first boot goes on after the login works, and how long upgrades then hold dpkg's locks.
STILL_RUNNING = 5
HOLDS_DPKG = 12

HOLDER = """\
import fcntl, sys, time
held = [open(path, "w") for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")]
for lock in held:
    fcntl.lockf(lock, fcntl.LOCK_EX)
time.sleep(float(sys.argv[1]))
"""
UPGRADES = f"""\
[Service]
ExecStart=/usr/bin/python3 /run/lab/hold-dpkg.py {HOLDS_DPKG}
"""


def seed(
    name: str, key: str, platform: Platform, cache: str, login: Login, chosen: Sequence[str] = ()
) -> dict[str, str]:
    """Return the files of a host's seed by path: its name, who logs in with which key (public), its apt sources.

    A cloud manages /etc/hosts and the sources, and its image is months old: the first boot goes on after the login
    works, and unattended upgrades follow it. chosen: the variants that the host comes with.
    """
    user_data: dict[str, Any] = {"ssh_authorized_keys": [key.strip()], "disable_root": login.user != "root"}
    if login.password:
        user_data |= {
            "user": {"name": login.user, "sudo": ["ALL=(ALL) ALL"], "lock_passwd": False},
            "password": login.password,
            "chpasswd": {"expire": False},
        }
    vendor_data: dict[str, Any] = {
        "manage_etc_hosts": True,
        # The lab knows the hosts by keys of its own.
        "ssh_deletekeys": False,
        "ssh_genkeytypes": [],
        "apt": {
            "primary": [{"arches": ["default"], "uri": f"{cache}/{platform.archive}"}],
            "security": [{"arches": ["default"], "uri": f"{cache}/{platform.security}"}],
        },
        # Below /run: of the first boot alone.
        "write_files": [
            {"path": "/run/lab/hold-dpkg.py", "content": HOLDER},
            {"path": "/run/systemd/system/apt-daily-upgrade.service.d/lab.conf", "content": UPGRADES},
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "start", "--no-block", "apt-daily-upgrade.service"],
            ["sleep", str(STILL_RUNNING)],
        ],
    }
    return {
        f"{SEED}/meta-data": json.dumps({"instance-id": f"i-{name}", "local-hostname": name}) + "\n",
        f"{SEED}/user-data": f"#cloud-config\n{json.dumps(user_data, indent=2)}\n",
        f"{SEED}/vendor-data": f"#cloud-config\n{json.dumps(variants.added(vendor_data, chosen), indent=2)}\n",
    }
