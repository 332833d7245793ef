"""An upgrade of the clusters that postgresql-common keeps, as hosts have them, in a private view of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabfile.programs.zipped import build_helper
from tests.database import clusters
from tests.database.program_ground import PACKAGE

VIEW = Path(__file__).with_name("debian_clusters.sh")
PSQL = (
    "setpriv --reuid=postgres --regid=postgres --init-groups /usr/lib/postgresql/15/bin/psql "
    "--host=/var/run/postgresql --port=55432 --set=ON_ERROR_STOP=1 -At"
)
CONF = "wal_level = logical\nport = 55432\nlisten_addresses = ''\nfsync = off\ncluster_name = '14/main'\n"
# As templates/etc/slipway writes it.
SETTINGS = """[upgrade]
database = shop
cluster = main
port = 55432
spare = 55433
socket = /var/run/postgresql
control = debian
account = postgres
folder = {folder}
clients = /usr/lib/postgresql/15/bin
rehearsals = /var/lib/postgresql/rehearsals/shop
follow = {folder}/database-backup.conf
physical = no
""" + "".join(
    f"{name} = {version}\n{name}_conf = /etc/postgresql/{version}/main\n"
    f"{name}_data = /var/lib/postgresql/{version}/main\n{name}_programs = /usr/lib/postgresql/{version}/bin\n"
    for name, version in (("old", 14), ("new", 17))
)
RUN = """set -eu
cd /
pg_createcluster 14 main --port=55432 --locale=C.UTF-8 --encoding=UTF8 -- --data-checksums >/dev/null
printf "{conf}" >/etc/postgresql/14/main/conf.d/slipway.conf
systemctl start postgresql@14-main.service
{psql} -c "CREATE DATABASE shop" postgres
{psql} -c "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)" shop
{psql} -c "INSERT INTO orders (note) SELECT 'old' FROM generate_series(1, 1000)" shop
export SLIPWAY_UPGRADE_CONFIG={folder}/upgrade.conf
install -d -o postgres -g postgres -m 0755 /var/lib/postgresql/rehearsals
for step in plan rehearse prepare switch back switch finish; do
  python3 -I {folder}/database-upgrade $step --to=17
  {psql} -c "INSERT INTO orders (note) VALUES ('$step')" shop
  echo "$step: $({psql} -c "{count}" shop)"
done
pg_lsclusters --no-header
systemctl stop postgresql@17-main.service
"""
COUNT = "SELECT count(*), max(id), current_setting('server_version_num')::int / 10000 FROM orders"
SERVED = ["plan: 1001|1001|14", "rehearse: 1002|1002|14", "prepare: 1003|1003|14", "switch: 1004|1004|17"]
SERVED += ["back: 1005|1005|14"]


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path]]:
    """What the view is made of, and where the program and its journal are; servers that are left end with them."""
    with tempfile.TemporaryDirectory(prefix="slipway-view-") as view, tempfile.TemporaryDirectory() as own:
        Path(view).chmod(0o755)
        Path(own).chmod(0o755)
        yield Path(view), Path(own)
        for path in Path(view).glob("data/*/main/postmaster.pid"):
            os.kill(int(path.read_text().split()[0]), signal.SIGQUIT)


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="a private view of this machine takes root")
def test_clusters_of_postgresql_common_are_moved_there_and_back(folders: tuple[Path, Path]) -> None:
    view, own = folders
    (own / "database-upgrade").write_bytes(build_helper(PACKAGE))
    (own / "upgrade.conf").write_text(SETTINGS.format(folder=own))
    (own / "database-backup.conf").write_text("programs = /usr/lib/postgresql/14/bin\n")
    (own / "run").write_text(RUN.format(folder=own, psql=PSQL, count=COUNT, conf=CONF.replace("\n", "\\n")))
    old = clusters.programs(14).resolve().parents[3]
    new = clusters.programs(17).resolve().parent

    done = subprocess.run(
        ["unshare", "--mount", VIEW, view, old, new, "bash", own / "run"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in SERVED] == SERVED, done.stdout
    assert "finish: 1007|1007|17" in lines
    assert "vacuum_defer_cleanup_age, which 17 does not have, became a comment" in done.stdout
    (left,) = [line.split()[:4] for line in lines if line.endswith(".log")]
    assert left == ["17", "main", "55432", "online"]
    assert "17/bin" in (own / "database-backup.conf").read_text()
