"""PostgreSQL itself reads the settings and the access rules that a database host gets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.templates.conftest import Trees
from tests.templates.rendering import CASES, Case, HostTree
from tests.unit.plugins.test_postgresql_harness import BINARIES, owned_directory, run_as_owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root lays the rendered files over /etc")

DATABASES = [(case.name, host) for case in CASES for host in case.hosts if re.search("db|shop-1", host)]
every_database = pytest.mark.parametrize(
    ("case", "host"), DATABASES, ids=["/".join(pair) for pair in DATABASES]
)

# $0 is a layer of /etc, $1 and $2 of the server's folders, empty when it is installed there, $3 the address that the
# host listens on; the view is private, the network too.
VIEW = """
mount -t overlay overlay -o "ro,lowerdir=$0:/etc" /etc
if [ -n "$1" ]; then
  mount -t overlay overlay -o "ro,lowerdir=$1:/usr/lib/postgresql" /usr/lib/postgresql
  mount -t overlay overlay -o "ro,lowerdir=$2:/usr/share/postgresql" /usr/share/postgresql
fi
ip link set lo up
[ -z "$3" ] || ip address add "$3" dev lo
shift 3
exec "$@"
"""
INSTALLED = Path("/usr/lib/postgresql")
# What pg_createcluster writes, as far as it matters here.
CONF = """
data_directory = '{data}'
hba_file = '/{folder}/pg_hba.conf'
ident_file = '/{folder}/pg_ident.conf'
external_pid_file = '/run/postgresql/scratch.pid'
unix_socket_directories = '/tmp'
include_dir = 'conf.d'
"""


def folder_of(tree: HostTree) -> str:
    """The cluster's folder below /etc, as in etc/postgresql/14/main."""
    (conf,) = [path for path in tree.paths() if path.endswith("/pg_hba.conf")]
    return str(Path(conf).parent)


@contextmanager
def etc(tree: HostTree, certificates: Path, data: Path) -> Iterator[Path]:
    """A copy of what the host gets below /etc, with the owners PostgreSQL asks for; gone again afterwards."""
    layer = Path(tempfile.mkdtemp(prefix="slipway-etc-"))
    layer.chmod(0o755)
    try:
        for source in (tree.root / "etc/postgresql", certificates / "etc/ssl"):
            shutil.copytree(source, layer / source.name)
        folder = folder_of(tree)
        conf = layer / folder.removeprefix("etc/") / "postgresql.conf"
        conf.write_text(CONF.format(data=data, folder=folder))
        # This machine's server has no pgaudit; that a booted host's loads it is asked of it by make scores.
        ours = conf.parent / "conf.d/slipway.conf"
        ours.write_text(ours.read_text().replace("'pg_stat_statements,pgaudit'", "'pg_stat_statements'"))
        for path in (layer / "postgresql").rglob("*"):
            shutil.chown(path, "postgres", "postgres")
        key = layer / "ssl/slipway/host.key"
        shutil.chown(key, "root", "postgres")
        key.chmod(0o640)
        yield layer
    finally:
        shutil.rmtree(layer)


def ask(layer: Path, tree: HostTree, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the host's own check-postgresql in the view, on this machine's server."""
    programs = BINARIES.parents[1]
    folders = ["", ""] if programs == INSTALLED else [programs, programs.parents[1] / "share/postgresql"]
    folder = folder_of(tree)
    settings = (tree.root / folder / "conf.d/slipway.conf").read_text()
    listen = re.search("^listen_addresses = '(.*)'$", settings, re.MULTILINE)
    return subprocess.run(
        [
            "unshare", "--mount", "--propagation", "private", "--net", "sh", "-euc", VIEW, layer, *folders,
            listen[1].split(",")[0] if listen else "",
            sys.executable, script_of(tree), BINARIES.parent.name, f"/{folder}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        timeout=seconds,
        check=False,
    )  # fmt: skip


def script_of(tree: HostTree) -> Path:
    return tree.root / "usr/local/lib/slipway/check-postgresql"


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A fresh cluster's data folder."""
    scratch = owned_directory("slipway-settings-")
    run_as_owner(
        BINARIES / "initdb", "--no-sync", "--pgdata", scratch / "data", "--locale=C", "--encoding=UTF8"
    )
    yield scratch / "data"
    shutil.rmtree(scratch)


@every_database
def test_postgresql_starts_with_what_a_host_gets(
    trees: Trees, certificates: Path, data: Path, case: str, host: str
) -> None:
    tree = trees[case, host]
    settings = (tree.root / folder_of(tree) / "conf.d/slipway.conf").read_text()
    assert len(re.findall(r"^[a-z_.]+ = .", settings, re.MULTILINE)) > 30, settings
    with etc(tree, certificates, data) as layer:
        done = ask(layer, tree)

    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("pg_hba.conf", "hostssl shop shop 192.0.2.300/32 scram-sha-256", '"192.0.2.300/32"'),
        ("pg_hba.conf", "hostssl shop shop 192.0.2.30/32 guess", 'invalid authentication method "guess"'),
        ("pg_ident.conf", "slipway deploy", "pg_ident"),
    ],
)
def test_rules_that_postgresql_refuses_are_shown_with_their_line(
    trees: Trees, certificates: Path, data: Path, name: str, line: str, complaint: str
) -> None:
    assert complaint in refusal(trees, certificates, data, name, line)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "shared_preload_libraries = 'pg_stat_statements,timescaledb'",
            'could not access file "timescaledb"',
        ),
        ("session_preload_libraries = 'nothing'", "it starts, and takes no session"),
        ("wal_level = minimal", "wal_level"),
        ("ssl_ecdh_curve = 'nonsense'", "unrecognized curve name: nonsense"),
        ("ssl_key_file = '/none/host.key'", "/none/host.key"),
        ("ssl = off", "SSL is disabled"),
        ("shared_buffers = 7TB", "shared_buffers is 7340032 MB; this host can give"),
        ("huge_pages = on\nhuge_page_size = 1GB", "huge_pages is on and wants"),
        ("listen_addresses = '198.51.100.77'", "listen_addresses names 198.51.100.77: Cannot assign"),
        ("listen_addresses = 'no such name'", "listen_addresses names no such name"),
        ("unix_socket_directories = '/none'", "unix_socket_directories names /none"),
        ("data_directory = '/none'", "/none"),
        ("ident_file = '/none/pg_ident.conf'", "/none/pg_ident.conf"),
        ("work_men = 4MB", 'unrecognized configuration parameter "work_men"'),
        ("work_mem = lots", 'invalid value for parameter "work_mem": "lots"'),
    ],
)
def test_what_postgresql_would_not_start_with_is_refused_in_its_own_words(
    trees: Trees, certificates: Path, data: Path, line: str, complaint: str
) -> None:
    said = refusal(trees, certificates, data, "conf.d/zz.conf", line)

    assert said.startswith("PostgreSQL would not start: ")
    assert complaint in said


def test_nothing_of_the_running_server_is_written_to(trees: Trees, certificates: Path, data: Path) -> None:
    """Debian's 14 keeps its statistics outside of the data; WAL that nobody asked for would reach an archive."""
    outside = owned_directory("slipway-outside-")
    lines = [
        "archive_mode = on",
        f"archive_command = 'touch {outside}/archived'",
        "archive_timeout = 1",
        f"external_pid_file = '{outside}/pid'",
        "logging_collector = on",
        f"log_directory = '{outside}/log'",
    ]
    if BINARIES.parent.name == "14":
        lines.append(f"stats_temp_directory = '{outside}'")
    try:
        with etc(tree_of(trees), certificates, data) as layer:
            further = layer / folder_of(tree_of(trees)).removeprefix("etc/") / "conf.d/zz.conf"
            further.write_text("".join(f"{line}\n" for line in lines))
            done = ask(layer, tree_of(trees))
        assert done.returncode == 0, done.stdout
        assert list(outside.iterdir()) == []
    finally:
        shutil.rmtree(outside)


def test_what_alter_system_wrote_counts(trees: Trees, certificates: Path, data: Path) -> None:
    auto = data / "postgresql.auto.conf"
    before = auto.read_text()
    auto.write_text("shared_preload_libraries = 'timescaledb'\n")
    try:
        said = refusal(trees, certificates, data, "conf.d/zz.conf", "work_mem = 4MB")
    finally:
        auto.write_text(before)

    assert 'could not access file "timescaledb"' in said


def test_slots_that_are_there_want_their_number(trees: Trees, certificates: Path, data: Path) -> None:
    """The server of `data` has a slot; without room for it, or without WAL, it does not start."""
    control: list[str | Path] = [BINARIES / "pg_ctl", "-D", data, "-w", "-l", data / "log"]
    run_as_owner(*control, "-o", f"-k {data} -c listen_addresses=", "start")
    try:
        run_as_owner(
            "psql",
            "-h",
            data,
            "postgres",
            "-c",
            "SELECT pg_create_physical_replication_slot('standby', true)",
        )
    finally:
        run_as_owner(*control, "stop")
    try:
        said = refusal(trees, certificates, data, "conf.d/zz.conf", "max_replication_slots = 0")
    finally:
        shutil.rmtree(data / "pg_replslot/standby")

    assert "too many replication slots" in said


def test_a_check_that_is_killed_leaves_no_server_and_no_file(
    trees: Trees, certificates: Path, data: Path
) -> None:
    before = running()
    with etc(tree_of(trees), certificates, data) as layer:
        with pytest.raises(subprocess.TimeoutExpired):
            ask(layer, tree_of(trees), seconds=0.6)
        deadline = time.monotonic() + 20
        while running() - before and time.monotonic() < deadline:
            time.sleep(0.05)

    assert not running() - before
    assert os.listdir("/run/slipway-scratch") == []


def running() -> set[int]:
    """The processes that run a scratch server, or make one."""
    found = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"/run/slipway-scratch" in command.read_bytes():
                found.add(int(command.parent.name))
        except OSError:
            continue
    return found


def tree_of(trees: Trees) -> HostTree:
    return trees["production-Ubuntu-22", "production-db-1"]


def refusal(trees: Trees, certificates: Path, data: Path, name: str, line: str) -> str:
    """What is said of a file with a further line."""
    tree = tree_of(trees)
    with etc(tree, certificates, data) as layer:
        with (layer / folder_of(tree).removeprefix("etc/") / name).open("a") as file:
            file.write(line + "\n")
        done = ask(layer, tree)

    assert done.returncode == 1, done.stdout
    return done.stdout


@pytest.mark.parametrize("case", [case for case in CASES if case.everything], ids=lambda case: case.name)
def test_who_else_comes_in_stands_after_slipways_own_and_before_the_rejects(trees: Trees, case: Case) -> None:
    tree = trees[case.name, "shop-1"]
    rules = tree.text(f"{folder_of(tree)}/pg_hba.conf")
    lines = [" ".join(line.split()) for line in rules.splitlines() if line and line[0] != "#"]

    assert lines[-6:] == [
        "local crm crm scram-sha-256",
        "hostssl crm,stock +readers 10.0.0.0/8 scram-sha-256",
        "host all exporter 127.0.0.1/32 md5",
        "hostssl replication standby 2001:db8::7/128 cert clientname=CN",
        "local all all reject",
        "host all all all reject",
    ]
    assert "hostssl shop shop,shop_b,shop_migrate 192.0.2.21/32 scram-sha-256" in lines[:-6]
    settings = tree.text(f"{folder_of(tree)}/conf.d/slipway.conf")
    assert "listen_addresses = '192.0.2.31,127.0.0.1'" in settings


def test_who_else_comes_in_does_and_nobody_beside(trees: Trees, data: Path) -> None:
    """By password, on a server with the rendered rules; who has a password and no row is rejected."""
    tree = trees["lab-Ubuntu-22-everything", "shop-1"]
    rules = data / "rendered_hba.conf"
    rules.write_text(tree.text(f"{folder_of(tree)}/pg_hba.conf"))
    rules.chmod(0o644)
    options = f"-k {data} -c listen_addresses= -c hba_file={rules}"
    control: list[str | Path] = [BINARIES / "pg_ctl", "-D", data, "-w", "-l", data / "log"]
    run_as_owner(*control, "-o", options, "start")
    try:
        for name in ("crm", "stranger"):
            run_as_owner("psql", "-h", data, "postgres", "-c", f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        run_as_owner("psql", "-h", data, "postgres", "-c", "CREATE DATABASE crm OWNER crm")
        answers = {
            (user, password): subprocess.run(
                ["psql", "-h", data, "-U", user, "-tA", "-c", "SELECT 1", "crm"],
                env={**os.environ, "PGPASSWORD": password, "LC_ALL": "C"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            ).stdout
            for user, password in (("crm", "crm"), ("crm", "guess"), ("stranger", "stranger"))
        }
    finally:
        run_as_owner(*control, "stop")
        rules.unlink()

    assert answers["crm", "crm"] == "1\n"
    assert "password authentication failed" in answers["crm", "guess"]
    assert "pg_hba.conf rejects connection" in answers["stranger", "stranger"]
