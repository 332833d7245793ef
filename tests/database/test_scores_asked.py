"""The benchmark's questions are SQL on every version, and see what somebody opened."""

from __future__ import annotations

import pytest

from tests.database.status_ground import Cluster, cluster, one_a_version, running
from tests.scores import postgresql

__all__ = ["cluster", "one_a_version", "running"]


def missed(cluster: Cluster) -> str:
    with cluster.connect("postgres") as session:
        row = session.execute(postgresql.QUERY.encode()).fetchone()
    assert row
    (score,) = postgresql.scores("|".join(str(value) for value in row))
    return score.about


@pytest.mark.every_version("settings and predefined roles differ")
def test_what_somebody_opened_is_an_item_less(cluster: Cluster) -> None:
    cluster.execute("GRANT CREATE ON SCHEMA public TO public")
    before = missed(cluster)
    for name in ("no server's programs or files for logins", "one superuser"):
        assert name not in before
    cluster.execute(
        "CREATE ROLE opened LOGIN SUPERUSER",
        "CREATE ROLE reads LOGIN",
        "GRANT pg_read_server_files TO reads",
    )
    after = missed(cluster)
    for name in (
        "no server's programs or files for logins",
        "one superuser",
        "nobody may create in public",
    ):
        assert name in after


@pytest.mark.every_version("settings differ")
def test_a_server_of_the_socket_alone_is_not_asked_for_tls_nor_one_without_a_collector_for_its_files(
    cluster: Cluster,
) -> None:
    with cluster.connect("postgres") as session:
        row = session.execute(
            "SELECT current_setting('listen_addresses') <> '', current_setting('logging_collector')"
        )
        listens, collects = row.fetchone() or (None, None)
    idle = missed(cluster).partition("nothing to ask of: ")[2].split(", ")
    assert ("ssl" in idle, "log_truncate_on_rotation" in idle) == (not listens, collects == "off")
