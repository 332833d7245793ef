"""PostgreSQL itself reads the settings and the access rules that a database host gets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.templates.conftest import Trees
from tests.templates.rendering import CASES, HostTree
from tests.unit.test_postgresql_harness import BINARIES, owned_directory, run_as_owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root lays the rendered files over /etc")

DATABASES = [(case.name, host) for case in CASES for host in case.hosts if re.search("db|shop-1", host)]
every_database = pytest.mark.parametrize(
    ("case", "host"), DATABASES, ids=["/".join(pair) for pair in DATABASES]
)

# $0 is a layer of /etc, $1 and $2 of the server's folders, empty when it is installed there; the view is private.
VIEW = """
mount -t overlay overlay -o "ro,lowerdir=$0:/etc" /etc
if [ -n "$1" ]; then
  mount -t overlay overlay -o "ro,lowerdir=$1:/usr/lib/postgresql" /usr/lib/postgresql
  mount -t overlay overlay -o "ro,lowerdir=$2:/usr/share/postgresql" /usr/share/postgresql
fi
shift 2
exec "$@"
"""
INSTALLED = Path("/usr/lib/postgresql")


def folder_of(tree: HostTree) -> str:
    """The cluster's folder below /etc, as in etc/postgresql/14/main."""
    (conf,) = [path for path in tree.paths() if path.endswith("/pg_hba.conf")]
    return str(Path(conf).parent)


@contextmanager
def etc(tree: HostTree, certificates: Path) -> Iterator[Path]:
    """A copy of what the host gets below /etc, with the owners PostgreSQL asks for; gone again afterwards."""
    layer = Path(tempfile.mkdtemp(prefix="slipway-etc-"))
    layer.chmod(0o755)
    try:
        for source in (tree.root / "etc/postgresql", certificates / "etc/ssl"):
            shutil.copytree(source, layer / source.name)
        key = layer / "ssl/slipway/host.key"
        shutil.chown(key, "root", "postgres")
        key.chmod(0o640)
        yield layer
    finally:
        shutil.rmtree(layer)


def ask(layer: Path, script: Path, version: str, folder: str) -> subprocess.CompletedProcess[str]:
    """Run the host's own check-postgresql-access in the view, on this machine's server of `version`."""
    programs = BINARIES.parents[1]
    folders = ["", ""] if programs == INSTALLED else [programs, programs.parents[1] / "share/postgresql"]
    return subprocess.run(
        [
            "unshare", "--mount", "--propagation", "private", "sh", "-euc", VIEW, layer, *folders,
            script, version, folder,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        timeout=60,
        check=False,
    )  # fmt: skip


def script_of(tree: HostTree) -> Path:
    return tree.root / "usr/local/lib/slipway/check-postgresql-access"


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
def test_postgresql_takes_every_setting(trees: Trees, data: Path, case: str, host: str) -> None:
    tree = trees[case, host]
    settings = (tree.root / folder_of(tree) / "conf.d/slipway.conf").read_text()
    names = re.findall(r"^([a-z_.]+) = ", settings, re.MULTILINE)
    (data / "slipway.conf").write_text(settings)
    assert len(names) > 30, settings

    for name in names:
        options = ("-D", data, "-c", f"config_file={data}/slipway.conf")
        value = run_as_owner(BINARIES / "postgres", "-C", name, *options)
        assert value.strip() or name == "listen_addresses", f"{name} is empty"


@every_database
def test_postgresql_takes_the_access_rules(trees: Trees, certificates: Path, case: str, host: str) -> None:
    tree = trees[case, host]
    with etc(tree, certificates) as layer:
        done = ask(layer, script_of(tree), BINARIES.parent.name, f"/{folder_of(tree)}")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        (
            "pg_hba.conf",
            "hostssl shop shop 192.0.2.300/32 scram-sha-256\n",
            '"192.0.2.300/32"',
        ),
        ("pg_hba.conf", "hostssl shop shop 192.0.2.30/32 guess\n", 'invalid authentication method "guess"'),
        ("pg_ident.conf", "slipway deploy\n", "pg_ident"),
    ],
)
def test_rules_that_postgresql_refuses_are_shown_with_their_line(
    trees: Trees, certificates: Path, name: str, line: str, complaint: str
) -> None:
    tree = trees["production-Ubuntu-22", "production-db-1"]
    with etc(tree, certificates) as layer:
        with (layer / folder_of(tree).removeprefix("etc/") / name).open("a") as rules:
            rules.write(line)
        done = ask(layer, script_of(tree), BINARIES.parent.name, f"/{folder_of(tree)}")

    assert done.returncode == 1, done.stdout
    assert complaint in done.stdout
