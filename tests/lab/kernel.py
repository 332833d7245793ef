"""Limits of this machine's kernel that several booted hosts share."""

from pathlib import Path

# Every systemd watches files with some; the default of 128 for all of root's is used up by half a dozen hosts.
INSTANCES = 1024
LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def make_room() -> None:
    """Raise the number of inotify instances that root may have, when it is lower; it stays until a reboot."""
    if LIMIT.exists() and int(LIMIT.read_text()) < INSTANCES:
        LIMIT.write_text(f"{INSTANCES}\n")
