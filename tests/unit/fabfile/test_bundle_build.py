"""Building a bundle: from a commit to one file that a host accepts, again and again the same."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tarfile
import threading
from datetime import datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from slipway.releases import interpreter

from fabfile.bundle import archive, wheels
from fabfile.bundle.wheels import Target, requirements_for
from fabfile.errors import BuildError
from tests.unit.conftest import Slipway
from tests.unit.fabfile.bundle_support import COMMITTED, MIGRATION, Project, manifest
from tests.unit.slipway import support


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    return Project(tmp_path)


def test_a_bundle_holds_the_wheels_of_the_commit_and_says_so(project: Project) -> None:
    sha = project.git("rev-parse", "HEAD")

    built = project.build()

    assert built.release == f"20261122T160501Z-{sha[:7]}"
    assert built.path.name == f"shop-{built.release}.tar"
    assert built.sha256 == support.sha256(built.path)
    with tarfile.open(built.path) as archive:
        members = {member.name: member for member in archive.getmembers()}
        assert sorted(members) == [
            "app/shop-1.0-py3-none-any.whl",
            "manifest.json",
            "requirements.lock",
            f"wheelhouse/{project.wheel}",
        ]
        assert {member.mtime for member in members.values()} == {
            datetime.fromisoformat(COMMITTED).timestamp()
        }
        assert {(member.uid, member.gid, member.mode) for member in members.values()} == {(0, 0, 0o644)}
    said = manifest(built)
    assert (said["git_sha"], said["git_branch"], said["dirty"]) == (sha, "main", False)
    assert (said["schema_head"], said["built_at"]) == ("0002", "2026-11-22T16:05:01Z")
    assert said["targets"] == [
        {"python": "3.10", "machine": "x86_64"},
        {"python": "3.11", "machine": "x86_64"},
    ]
    assert sorted(said["files"]) == sorted(set(members) - {"manifest.json"})


def test_the_same_commit_gives_the_same_bytes(project: Project) -> None:
    first = project.build("one")
    before = os.umask(0o077)
    try:
        second = project.build("two", cache=project.folder / "elsewhere/wheelhouse")
    finally:
        os.umask(before)

    assert first.path.read_bytes() == second.path.read_bytes()


def test_the_second_build_needs_no_index(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Index(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """The requests are in asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Index, directory=str(project.index)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        first = project.build("one")
        assert f"/tiny/{project.wheel}" in asked
        asked.clear()

        assert project.build("two").sha256 == first.sha256
        assert asked == []
    finally:
        server.shutdown()
        server.server_close()


def test_a_host_accepts_the_bundle(project: Project, host: support.Host, slipway: Slipway) -> None:
    here = Target(interpreter.of(host).short, host.machine())
    built = project.build(targets=[here])

    answer = slipway("stage", "--bundle", "-", "--sha256", built.sha256, given=built.path)

    assert answer.result["release"] == built.release
    assert list(host.environments.glob("*/venv/lib/python3*/site-packages/tiny/__init__.py"))


def test_changed_files_are_refused_by_name(project: Project) -> None:
    project.write("shop/__init__.py", "CHANGED = True\n")
    project.write("shop/new.py", "")

    with pytest.raises(BuildError, match=r"2 file\(s\)") as refused:
        project.build()

    assert "service/shop/new.py" in str(refused.value)
    assert not list(project.folder.glob("bundles/*"))


def test_changed_files_are_built_for_the_lab_and_marked(project: Project) -> None:
    clean = project.build("clean")
    project.write("shop/__init__.py", "CHANGED = True\n")

    dirty = project.build("dirty", allow_dirty=True)

    assert manifest(dirty)["dirty"] is True
    wheel = "app/shop-1.0-py3-none-any.whl"
    assert manifest(dirty)["files"][wheel] != manifest(clean)["files"][wheel]


def test_changes_outside_the_service_do_not_matter(project: Project) -> None:
    (project.service.parent / "notes.txt").write_text("unfinished")

    assert manifest(project.build())["dirty"] is False


def test_an_older_commit_can_be_built_beside_changed_files(project: Project) -> None:
    first = project.git("rev-parse", "HEAD")
    project.write("migrations/versions/c.py", MIGRATION.format(revision="0003", parent="0002"))
    project.commit()
    project.write("shop/__init__.py", "CHANGED = True\n")

    built = project.build(ref=first)

    assert built.release.endswith(first[:7])
    assert (manifest(built)["schema_head"], manifest(built)["dirty"]) == ("0002", False)


def test_a_wheel_that_the_index_does_not_have_is_named_with_its_target(project: Project) -> None:
    name, wheel = support.tiny_wheel("native")
    project.publish("native", name.replace("py3-none-any", "cp311-cp311-manylinux2014_x86_64"), wheel)
    lock = project.service / "requirements.lock"
    project.write(
        "requirements.lock",
        f"{lock.read_text()}native==1.0 --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n",
    )
    project.commit()

    with pytest.raises(BuildError, match=r"native==1\.0 that is a wheel for Python 3\.10 on x86_64"):
        project.build()

    assert not list(project.folder.glob("bundles/*"))


def test_a_wheel_with_other_bytes_than_locked_is_refused(project: Project) -> None:
    project.publish("tiny", project.wheel, support.tiny_wheel("tiny", {"tiny/evil.py": ""})[1])

    with pytest.raises(BuildError, match=r"(?i)hashes"):
        project.build()


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({}, "no migration"),
        ({"a.py": ("0001", None), "b.py": ("0002", None)}, "2 heads"),
        ({"a.py": ("0002", "0001")}, "follows 0001, which is not there"),
        ({"a.py": ("2026_11_23_add_customer_preferences_probe", None)}, "a.py has the revision id"),
        ({"a.py": ("it is", None)}, "keeps 32 letters"),
        ({"a.py": ("it's", None)}, "keeps 32 letters"),
        ({"a.py": ("", None)}, "keeps 32 letters"),
        ({"a.py": ("0001", None), "b.py": ("0001", None)}, "have the same revision id 0001"),
    ],
)
def test_the_schema_head_must_be_one(
    project: Project, versions: dict[str, tuple[str, str | None]], said: str
) -> None:
    for path in (project.service / "migrations/versions").glob("*.py"):
        path.unlink()
    for name, (revision, parent) in versions.items():
        project.write(f"migrations/versions/{name}", MIGRATION.format(revision=revision, parent=parent))
    project.commit()

    with pytest.raises(BuildError, match=said):
        project.build()


def test_a_merge_of_two_heads_is_one_head(project: Project) -> None:
    project.write("migrations/versions/c.py", MIGRATION.format(revision="0003", parent="0001"))
    project.write("migrations/versions/d.py", MIGRATION.format(revision="0004", parent=("0002", "0003")))
    project.commit()

    assert manifest(project.build())["schema_head"] == "0004"


def test_a_revision_that_says_all_in_one_line_is_one_too(project: Project) -> None:
    project.write("migrations/versions/c.py", 'revision, down_revision = "0003", "0002"\nkind = "expand"\n')
    project.commit()

    (last,) = manifest(project.build())["schema_revisions"][-1:]
    assert (last["id"], last["kind"]) == ("0003", "expand")


def test_a_revision_that_is_computed_is_refused(project: Project) -> None:
    project.write("migrations/versions/c.py", "revision, down_revision = made()\n")
    project.commit()

    with pytest.raises(BuildError, match="computes its revision"):
        project.build()


def test_a_directory_without_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()

    with pytest.raises(BuildError, match="is not in a git repository"):
        archive.build(tmp_path / "service", tmp_path / "bundles")


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)

    with pytest.raises(BuildError, match="has no commit yet"):
        archive.build(tmp_path / "service", tmp_path / "bundles")


def test_an_unknown_commit_is_refused(project: Project) -> None:
    with pytest.raises(BuildError, match="knows no commit 'v9'"):
        project.build(ref="v9")


@pytest.mark.parametrize("text", ["3.10", "2.7:x86_64", "3.10:sparc", "3.10:x86_64:linux", ""])
def test_a_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="is not a target"):
        Target.parse(text)


def test_a_bundle_is_for_the_python_that_the_hosts_are_to_build_releases_with() -> None:
    assert archive.targets("") == archive.DEFAULT_TARGETS
    assert archive.targets("", "3.12") == [Target("3.12", "x86_64")]
    assert archive.targets("3.10:x86_64,3.11:aarch64", "3.12") == [
        Target("3.10", "x86_64"),
        Target("3.11", "aarch64"),
    ]


def test_markers_of_the_lock_are_judged_for_the_target_not_the_controller() -> None:
    lock = (
        "# comment\n"
        "always==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via shop\n"
        'old==1.0 ; python_version < "3.11" \\\n    --hash=sha256:cc\n'
        'arm==1.0 ; platform_machine == "aarch64" --hash=sha256:dd\n'
    )

    def names(target: Target) -> list[str]:
        return [line.partition("==")[0] for line in requirements_for(lock, target).splitlines()]

    assert names(Target("3.10", "x86_64")) == ["always", "old"]
    assert names(Target("3.11", "aarch64")) == ["always", "arm"]


def test_fab_build_refuses_in_a_sentence() -> None:
    command = [sys.executable, "-m", "fabric", "build", "--targets", "2.7:x86_64"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=archive.PROJECT)

    assert (done.returncode, "'2.7:x86_64' is not a target" in done.stderr) == (2, True), done.stderr


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip is asked from now on, by its first word."""
    asked: list[str] = []
    real = wheels._pip

    def pip(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(arguments[0])
        return real(*arguments, **options)

    monkeypatch.setattr(wheels, "_pip", pip)
    return asked


def test_a_second_build_does_not_ask_pip_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.build("one")
    asked = counted(monkeypatch)
    project.write("shop/__init__.py", "CHANGED = True\n")
    project.commit()

    project.build("two")

    assert asked == []


def test_a_kept_wheel_that_was_changed_is_fetched_anew(project: Project) -> None:
    first = project.build("one")
    (project.cache / project.wheel).write_bytes(b"changed")

    assert project.build("two").sha256 == first.sha256


def test_of_a_new_lock_pip_is_asked_for_what_is_new(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.build("one")
    name, wheel = support.tiny_wheel("little", version="2.0")
    project.publish("little", name, wheel)
    lock = (project.service / "requirements.lock").read_text()
    project.write(
        "requirements.lock", f"{lock}little==2.0 --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n"
    )
    project.commit()
    asked: list[list[str]] = []
    real = wheels._picked

    def picked(pins: list[str], *rest: Any) -> Any:
        asked.append([pin.partition(" ")[0] for pin in pins])
        return real(pins, *rest)

    monkeypatch.setattr(wheels, "_picked", picked)

    assert f"wheelhouse/{name}" in manifest(project.build("two"))["files"]
    assert {tuple(pins) for pins in asked} == {("little==2.0",)}
