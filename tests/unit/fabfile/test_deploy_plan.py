"""`fab deploy --plan`: what each pending migration locks; nothing is asked when none is pending."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fabric.testing.base import MockRemote

from fabfile.bundle.archive import Bundle, manifest_of
from fabfile.hosts import state
from fabfile.hosts.environment import Environment
from fabfile.migration import source
from fabfile.rollout import deploy, plan, preflight
from tests.unit.fabfile.bundle_support import Project
from tests.unit.fabfile.test_bundle_build import project
from tests.unit.fabfile.test_hosts import NEW, answers, environment, expect, listed, mock, row, status
from tests.unit.slipway import support

__all__ = ["environment", "mock", "project"]
SQL = {
    "1": "CREATE TABLE products (id int)",
    "2": "ALTER TABLE products ADD COLUMN note text; UPDATE products SET note = ''; CREATE INDEX i ON orders (day)",
    "3": "CREATE INDEX CONCURRENTLY j ON orders (day)",
    "4": "CREATE TABLE apart (id int)",
    "5": "DO $$ BEGIN PERFORM 1; END $$",
}
SAYS = f"import json\nprint(json.dumps({{'revisions': [{{'revision': n, 'sql': s}} for n, s in {SQL!r}.items()]}}))\n"


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of it is shown in test_preflight.py."""
    monkeypatch.setattr(preflight, "before_migrating", lambda _: preflight.Found())


@pytest.fixture
def bundled(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bundle with these revisions and this code; its libraries are kept apart."""
    monkeypatch.setattr(source, "of_bundle", partial(source.of_bundle, cache=project.cache))

    def pack(revisions: list[str], code: str = SAYS) -> Bundle:
        files = support.bundle_files({"shop/cli.py": code})
        chain = [{"id": name, "kind": "expand", "title": f"Step {name}"} for name in revisions]
        manifest = support.manifest_of(files, schema_revisions=chain)
        path = support.pack(tmp_path / "shop.tar.gz", support.members_of(files, manifest))
        return Bundle(path, "0" * 8, support.RELEASE, "shop")

    return pack


def asked(mock: MockRemote) -> None:
    expect(mock, answers(status(NEW), listed(row(NEW, state="live"))))


def test_each_pending_migration_has_its_strongest_lock_and_the_tables(
    mock: MockRemote, environment: Environment, bundled: Any
) -> None:
    asked(mock)
    shown = deploy.make_plan(environment, bundled(list(SQL))).text()
    assert "    1: " not in shown
    for line in (
        "    2: ACCESS EXCLUSIVE on products",
        "    3: SHARE UPDATE EXCLUSIVE on orders",
        "    4: locks nothing that is there",
        "    5: a block of code, whose locks cannot be told",
    ):
        assert f"{line}\n" in shown


def test_nothing_is_run_when_nothing_is_pending(
    mock: MockRemote, environment: Environment, bundled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unasked(*_: object) -> None:
        raise AssertionError("the release's code was run")

    monkeypatch.setattr(source, "of_bundle", unasked)
    asked(mock)
    assert "migrations: none\n  connections" in deploy.make_plan(environment, bundled(["1"])).text()


def test_code_that_does_not_say_its_sql_leaves_the_rest_of_the_plan(
    mock: MockRemote, environment: Environment, bundled: Any
) -> None:
    asked(mock)
    shown = deploy.make_plan(environment, bundled(["1", "2"], "raise SystemExit('no such command')")).text()
    assert "migrations: 2 Step 2 (expand)\n    their locks cannot be told here: " in shown
    assert "no such command" in shown
    assert "rollback: possible" in shown


def test_the_name_of_the_plan_is_that_of_the_deploy_which_asks_for_no_locks(
    mock: MockRemote, environment: Environment, bundled: Any
) -> None:
    asked(mock)
    bundle = bundled(["1", "2"])
    planned = deploy.make_plan(environment, bundle)
    found = state.HostState("app-1", status(NEW)["result"], {NEW: row(NEW, state="live")})
    deployed = plan.make(environment, manifest_of(bundle.path), {"app-1": found})
    assert planned.locks
    assert not deployed.locks
    assert planned.digest == deployed.digest
    assert f"(plan {deployed.digest})" in planned.text()
