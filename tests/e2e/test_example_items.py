"""A project in the shape of the popular FastAPI template is deployed as it is, by its [tool.slipway] alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from fabfile.bundle import archive
from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.example import Example, Writing, serving
from tests.e2e.fab_runs import BUNDLES, MOMENTS, release_of

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

HEALTH = "/api/v1/utils/health-check/"
ACCOUNT = {"email": "ada@items.example", "password": "a-long-enough-one"}
REVISION = """\
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "b81c40de7f62", "3a7f0c52d9e1", None, None
kind = "expand"


def upgrade():
    op.add_column("item", sa.Column("colour", sa.String(30)))
"""


@pytest.fixture(scope="module")
def items() -> Iterator[Example]:
    yield from serving("items", "SLIPWAY_E2E_ITEMS", "inventory/items", HEALTH)


@pytest.fixture(scope="module")
def token(items: Example) -> dict[str, str]:
    """What somebody with an account sends with each request."""
    signup = items.site.request(
        "POST",
        "/api/v1/users/signup",
        {"Content-Type": "application/json"},
        json.dumps(ACCOUNT).encode(),
    )
    assert signup.status == 200, signup
    form = urlencode({"username": ACCOUNT["email"], "password": ACCOUNT["password"]})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    said = items.site.request("POST", "/api/v1/login/access-token", kind, form.encode())
    assert said.status == 200, said
    return {"Authorization": f"Bearer {said.json()['access_token']}"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project a migration later."""
    clone = tmp_path_factory.mktemp("items") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    service = clone / "examples/items"
    (service / "app/alembic/versions/b81c40de7f62_colour.py").write_text(REVISION)
    git = ["git", "-C", str(clone), "-c", "user.name=Tests", "-c", "user.email=tests@items.example"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--no-verify", "--message=Items have a colour"], check=True)
    return archive.build(
        service=service, output=BUNDLES, built_at=MOMENTS.next(), cache=ROOT / "build/wheelhouse"
    ).path


def written(items: Example, token: dict[str, str]) -> Writing:
    return Writing(items.site, "/api/v1/items/", {"title": "Lamp"}, token)


def test_its_database_is_asked_by_address_on_the_host_alone_and_encrypted(
    items: Example, token: dict[str, str]
) -> None:
    listening = hosts.output(items.host, "ss -Hltn 'sport = :5432' | awk '{print $4}'")
    assert listening == "127.0.0.1:5432"
    assert items.site.request("GET", "/api/v1/users/me", token).json()["email"] == ACCOUNT["email"]
    asked = "SELECT DISTINCT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
    asked += " WHERE client_addr IS NOT NULL"
    assert items.sql(asked) == "items|t"
    # Neither in a file that the service can read nor on a command line.
    secret = hosts.output(items.host, "cat /etc/items/credentials/first_superuser_password")
    assert hosts.output(items.host, f"grep -l '{secret}' /etc/items/items.env; true") == ""


def test_a_migration_comes_with_its_release_under_load_and_the_way_back_loses_nothing(
    items: Example, token: dict[str, str], bundle: Path
) -> None:
    before, new = items.live(), release_of(bundle)
    planned = items.fab.run("migrate-plan", f"--bundle={bundle}").ended(
        0, f"{new} would apply", "b81c40de7f62"
    )
    planned.ended(0, "item", "ACCESS EXCLUSIVE")

    with written(items, token) as writing:
        items.fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        assert items.sql("SELECT count(colour) FROM items.item") == "0"
        items.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")

    assert writing.losses == []
    # Who is logged in stays so: both releases have the same key.
    assert set(writing.statuses) == {200}
    assert writing.releases == {before, new}
    items.fab.run("migrate-plan", f"--release={new}").ended(0, f"{new} has nothing to apply")


def test_what_was_written_is_backed_up(items: Example, token: dict[str, str]) -> None:
    made = json.loads(items.fab.run("db-backup", "--json").ended(0).output)
    assert made["tables"]["items.item"] == int(items.sql("SELECT count(*) FROM items.item")) > 0
    assert items.fab.run("db-status").status in (0, 1)


def test_a_second_run_changes_nothing_and_all_of_it_holds(items: Example) -> None:
    playbooks = Playbooks(items.lab.site.inventory)
    run = playbooks.run("site.yml").succeeded()
    assert run.changed == 0, run
    playbooks.run("playbooks/verify.yml").succeeded()
