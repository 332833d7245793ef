#!/usr/bin/python3
# Written by Slipway (role postgresql). A change made here is undone by the next run.
"""Start a scratch PostgreSQL with a cluster's own files, so that none is left with files it cannot start with.

Usage: check-postgresql VERSION FOLDER, as root; FOLDER is the cluster's below /etc/postgresql. Files are taken as
they stand there: settings with what ALTER SYSTEM wrote, access rules, certificates. Prints what is wrong; exit 1
when something is. The server lives in a process namespace and on a file system in memory that end with this
program, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys

SCRATCH = "/run/slipway-scratch"
START_SECONDS = 40
INSIDE = "SLIPWAY_INSIDE"
HINT = re.compile(r"(?:FATAL|PANIC|ERROR|DETAIL|HINT|LOG|^postgres): +(.*)", re.MULTILINE)
# A server of version 14 cannot say how much memory it wants before it has it.
MEMORY = "SELECT sum(allocated_size)::bigint FROM pg_shmem_allocations"
RULES = "SELECT 'pg_hba.conf line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL"


class RefusedError(Exception):
    """What PostgreSQL would not start with, as a sentence."""


class Cluster:
    """The programs of a version and the settings in a folder, as the server itself reads them."""

    def __init__(self, version: str, folder: str) -> None:
        self.version = version
        self.folder = folder
        self.programs = f"/usr/lib/postgresql/{version}/bin"
        self.data = self.setting("data_directory")
        if not os.path.isfile(f"{self.data}/PG_VERSION"):
            raise RefusedError(f"data_directory is {self.data}, where no cluster is.")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program as the server's user."""
        return subprocess.run(
            ["runuser", "--user=postgres", "--", *command], cwd="/", check=False, text=True, errors="replace",
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip

    def setting(self, name: str) -> str:
        """The value of a setting; refused when the files cannot be read as settings."""
        said = self.run(
            f"{self.programs}/postgres", "-C", name, "-c", f"config_file={self.folder}/postgresql.conf"
        )
        if said.returncode != 0:
            raise RefusedError(f"the settings cannot be read:\n{said.stderr.strip()}")
        return said.stdout.rstrip("\n")


def main() -> int:
    version, folder = sys.argv[1:]
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        apart = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        os.execvp(apart[0], [*apart, sys.executable, *sys.argv])  # noqa: S606 -- the caller ends this very process
    try:
        cluster = Cluster(version, folder)
        look_at_places(cluster)
        look_at_memory(cluster)
        wrong = start(cluster)
    except RefusedError as refused:
        wrong = str(refused)
    if wrong:
        print(f"PostgreSQL would not start: {wrong}")
    return 1 if wrong else 0


def look_at_places(cluster: Cluster) -> None:
    """The folders and addresses that the scratch server has others for."""
    for folder in filter(None, map(str.strip, cluster.setting("unix_socket_directories").split(","))):
        if not folder.startswith("@") and cluster.run("test", "-w", folder).returncode != 0:
            raise RefusedError(f"unix_socket_directories names {folder}, where postgres cannot write.")
    for address in filter(None, map(str.strip, cluster.setting("listen_addresses").split(","))):
        try:
            for family, kind, protocol, _, where in socket.getaddrinfo(
                None if address == "*" else address, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                with socket.socket(family, kind, protocol) as listening:
                    listening.bind(where)
        except OSError as error:
            raise RefusedError(f"listen_addresses names {address}: {error.strerror}.") from None


def look_at_memory(cluster: Cluster) -> None:
    """Refuse what could be promised and never given: a host may promise more than it has."""
    wanted = int(cluster.setting("shared_buffers")) * int(cluster.setting("block_size"))
    have = memory("CommitLimit" if overcommit() == 2 else "MemTotal")
    if wanted > have:
        raise RefusedError(f"shared_buffers is {wanted >> 20} MB; this host can give {have >> 20} MB.")


def overcommit() -> int:
    return int(read("/proc/sys/vm/overcommit_memory"))


def memory(name: str) -> int:
    """A line of /proc/meminfo, in bytes."""
    found = re.search(rf"^{name}: +([0-9]+) kB$", read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def start(cluster: Cluster) -> str:
    """Start a server of the files; return what is wrong, or nothing."""
    place_rules(cluster)
    data = f"{SCRATCH}/data"
    made = cluster.run(
        f"{cluster.programs}/initdb", "--no-sync", f"--pgdata={data}", "--encoding=UTF8", "--locale=C"
    )
    if made.returncode != 0:
        raise RefusedError(f"no scratch server could be made to try the files:\n{made.stderr.strip()}")
    bring_what_the_data_says(cluster, data)
    words = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in replaced(cluster).items())
    started = cluster.run(
        f"{cluster.programs}/pg_ctl", "start", "--wait", f"--timeout={START_SECONDS}", f"--pgdata={data}",
        f"--log={SCRATCH}/log", f"--options={words}",
    )  # fmt: skip
    log = read(f"{SCRATCH}/log")
    if started.returncode != 0:
        return sentences(log) or log.strip() or started.stdout.strip()
    wrong = ask(cluster, RULES) or "\n".join(line for line in log.splitlines() if "pg_ident" in line)
    return wrong or huge_pages(cluster)


def place_rules(cluster: Cluster) -> None:
    """Give the server's user, who may not look into every folder that root reads, copies of its own."""
    os.makedirs(SCRATCH, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "mode=0700,uid=postgres", "tmpfs", SCRATCH], check=False
    )
    if done.returncode != 0:
        raise RefusedError(
            "no scratch server could be made to try the files: no file system in memory can be mounted."
        )
    for kind in ("hba", "ident"):
        path = cluster.setting(f"{kind}_file")
        try:
            shutil.copyfile(path, f"{SCRATCH}/pg_{kind}.conf")
        except OSError as error:
            raise RefusedError(f"{kind}_file is {path}: {error.strerror}.") from None
        shutil.chown(f"{SCRATCH}/pg_{kind}.conf", "postgres")


def bring_what_the_data_says(cluster: Cluster, data: str) -> None:
    """ALTER SYSTEM wins over the files, and the slots there are want their number and their wal_level."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(f"{cluster.data}/postgresql.auto.conf", f"{data}/postgresql.auto.conf")
    shutil.copytree(f"{cluster.data}/pg_replslot", f"{data}/pg_replslot", dirs_exist_ok=True)
    subprocess.run(["chown", "-R", "postgres:", data], check=True)


def replaced(cluster: Cluster) -> dict[str, str]:
    """What must not be the real server's; each is looked at otherwise, or nothing starts by it."""
    options = {
        "config_file": f"{cluster.folder}/postgresql.conf",
        "data_directory": f"{SCRATCH}/data",
        "hba_file": f"{SCRATCH}/pg_hba.conf",
        "ident_file": f"{SCRATCH}/pg_ident.conf",
        "external_pid_file": f"{SCRATCH}/pid",
        "unix_socket_directories": SCRATCH,
        "unix_socket_permissions": "0700",
        "listen_addresses": "",
        # The running server has them; how many there are is counted.
        "huge_pages": "off",
        "archive_command": "/bin/false",
        "log_destination": "stderr",
        "logging_collector": "off",
        "lc_messages": "C",
        "fsync": "off",
    }
    if int(cluster.version) >= 15:
        options["archive_library"] = ""
    else:
        options["stats_temp_directory"] = "pg_stat_tmp"
    if overcommit() == 2:
        # What the running server was promised cannot be promised a second time.
        options["shared_buffers"] = "16MB"
    for name in ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file", "ssl_dh_params_file"):
        path = cluster.setting(name)
        if path and not path.startswith("/"):
            options[name] = f"{cluster.data}/{path}"
    return options


def ask(cluster: Cluster, query: str) -> str:
    """What the scratch server answers, or why it takes no session."""
    said = cluster.run(
        "psql", "--no-psqlrc", f"--host={SCRATCH}", f"--port={cluster.setting('port')}", "--tuples-only", "--no-align",
        f"--command={query}", "postgres",
    )  # fmt: skip
    if said.returncode != 0:
        raise RefusedError(
            f"it starts, and takes no session: {sentences(said.stderr) or said.stderr.strip()}"
        )
    return said.stdout.strip()


def huge_pages(cluster: Cluster) -> str:
    """Whether there are as many as are asked for, those that the running server gives back among them."""
    if cluster.setting("huge_pages") != "on":
        return ""
    size = int(cluster.setting("huge_page_size")) * 1024 or memory("Hugepagesize")
    wanted = -(-int(ask(cluster, MEMORY)) // size)
    free = int(read(f"/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB/free_hugepages") or 0)
    held = held_huge_pages(cluster) // size
    if free + held >= wanted:
        return ""
    return (
        f"huge_pages is on and wants {wanted} pages of {size >> 10} kB; this host has {free + held} for it. "
        f"Set vm.nr_hugepages, or huge_pages = try."
    )


def held_huge_pages(cluster: Cluster) -> int:
    """How many bytes of them the running server has."""
    process = read(f"{cluster.data}/postmaster.pid").partition("\n")[0]
    maps = read(f"/proc/{process}/smaps") if process.isdigit() else ""
    return 1024 * sum(int(size) for size in re.findall(r"_Hugetlb: +([0-9]+) kB", maps))


def sentences(text: str) -> str:
    return "\n".join(HINT.findall(text))


def read(path: str) -> str:
    try:
        with open(path, errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
