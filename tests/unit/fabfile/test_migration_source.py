"""`fab migrate-plan` of a release that no host has yet: its own code says its SQL, and what is not whole is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke import Context, Exit

from fabfile.errors import BuildError, FabError, RefusedError
from fabfile.hosts import environment
from fabfile.migration import source
from fabfile.tasks import migrations
from tests.unit.fabfile.bundle_support import Project
from tests.unit.fabfile.test_bundle_build import project
from tests.unit.slipway import support

__all__ = ["project"]
SAYS = """
import json, os, sys
import tiny
said = f"-- by {tiny.NAME}, asked for {sys.argv[1:]}, knowing {sorted(os.environ)}"
print(json.dumps({"revisions": [{"revision": name, "sql": said} for name in ("0001", "0002")]}))
"""
WAIVER = "- {revision: '0002', rule: ban-drop-column, reason: nobody reads it, until: 2027-01-31}\n"


@pytest.fixture
def saying(project: Project) -> Project:
    """A service whose `schema --sql` needs what its lock pins."""
    project.write("shop/cli.py", SAYS)
    project.commit()
    return project


def of_commit(project: Project, ref: str = "HEAD") -> source.Candidate:
    return source.of_commit(ref, project.service, project.cache)


def test_a_commits_own_code_says_its_sql_with_what_its_lock_pins(
    saying: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_SECRET_KEY", "hunter")
    found = of_commit(saying)
    assert found.name == f"commit {saying.git('rev-parse', 'HEAD')[:7]}"
    assert [revision.id for revision in found.chain] == ["0001", "0002"]
    assert "-- by tiny, asked for ['schema', '--sql']" in found.sql["0002"]
    assert "SHOP_SECRET_KEY" not in found.sql["0002"]


def test_a_commit_is_taken_as_it_is_with_its_own_waivers_whatever_lies_here(saying: Project) -> None:
    saying.write("migrations/waivers.yml", WAIVER)
    saying.commit()
    saying.write("shop/cli.py", "raise SystemExit('changed since')")
    saying.write("migrations/waivers.yml", "")
    (waiver,) = of_commit(saying).waivers
    assert waiver.revision == "0002"
    assert of_commit(saying, "HEAD~1").waivers == []


def test_files_that_are_not_as_committed_are_refused_unless_they_may_be(saying: Project) -> None:
    clean = source.of_files(False, saying.service, saying.cache)
    assert clean.name == of_commit(saying).name
    saying.write("shop/cli.py", SAYS.replace("by", "changed, by"))
    with pytest.raises(BuildError, match="not as committed"):
        source.of_files(False, saying.service, saying.cache)
    changed = source.of_files(True, saying.service, saying.cache)
    assert changed.name.endswith("with changed files")
    assert changed.sql["0001"].startswith("-- changed, by tiny")


@pytest.mark.parametrize(
    "code", ["raise SystemExit('no such command: schema')", "print('nothing')", "import absent"]
)
def test_code_that_does_not_say_its_sql_is_named_with_its_last_word(project: Project, code: str) -> None:
    project.write("shop/cli.py", code)
    project.commit()
    with pytest.raises(FabError, match=r"commit [0-9a-f]{7} does not say its SQL \(.+\)"):
        of_commit(project)


def bundled(folder: Path, listed: dict[str, object] | None = None) -> Path:
    """A bundle whose service says its SQL. listed: what its manifest lists, when that is not what it has."""
    files = support.bundle_files({"shop/cli.py": SAYS})
    chain = [{"id": name, "kind": "expand", "title": ""} for name in ("0001", "0002")]
    told = support.manifest_of(files, schema_revisions=chain)
    told |= {} if listed is None else {"files": listed}
    return support.pack(folder / "shop.tar.gz", support.members_of(files, told))


def test_a_bundles_own_code_says_its_sql(project: Project, tmp_path: Path) -> None:
    found = source.of_bundle(bundled(tmp_path), project.cache)
    assert (found.name, [revision.id for revision in found.chain]) == (support.RELEASE, ["0001", "0002"])
    assert "-- by tiny" in found.sql["0001"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.lock": {"sha256": "0" * 64, "size": 1}}, "not what its manifest says"),
        (
            {"requirements.lock": {"sha256": "0" * 64}, "app/absent.whl": {"sha256": ""}},
            "lacks what its manifest lists",
        ),
        ({"app/../../shop.whl": {"sha256": ""}}, "lacks what its manifest lists"),
        ({}, "has no requirements.lock"),
    ],
)
def test_a_bundle_that_is_not_as_it_says_runs_nothing(
    project: Project, tmp_path: Path, files: dict[str, object], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        source.of_bundle(bundled(tmp_path, files), project.cache)


@pytest.mark.parametrize(
    "ref", [";rm -r x", "-oX", "--upload-pack=x", "../..", "HEAD\nx", "$(id)", "a b", "\u202eHEAD"]
)
def test_a_hostile_ref_is_refused_before_anything_runs(ref: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unasked(name: str) -> None:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr(environment, "load", unasked)
    with pytest.raises(Exit) as refused:
        migrations.migrate_plan(Context(), ref=ref)
    assert (refused.value.code, "Nothing was changed" in str(refused.value)) == (2, True)


def test_one_release_is_planned_at_a_time() -> None:
    with pytest.raises(Exit, match="Give one of"):
        migrations.migrate_plan(Context(), ref="HEAD", tree=True)


def test_libraries_are_unpacked_once(saying: Project) -> None:
    of_commit(saying)
    (folder,) = (saying.cache.parent / "libraries").iterdir()
    (folder / "tiny/__init__.py").write_text("NAME = 'what was kept'\n")
    assert "-- by what was kept" in of_commit(saying).sql["0001"]
