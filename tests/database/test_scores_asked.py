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
