"""A bundle of a plain project: any lock, migrations beside the package or none, from any folder or repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fabfile.bundle import archive, locks, origin
from fabfile.bundle.wheels import Target
from fabfile.errors import BuildError
from fabfile.hosts.environment import Source
from tests.unit.conftest import Slipway
from tests.unit.fabfile.bundle_support import MOMENT
from tests.unit.fabfile.plain_service import SAID, Service
from tests.unit.slipway import support

UV = "#!/bin/sh\n[ -f pyproject.toml ] && [ \"$1 $2\" = 'export --frozen' ] && cat exported\n"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """With an index of its own, which has a uvicorn."""
    made = Service(tmp_path / "elsewhere/notes")
    name, wheel = support.tiny_wheel("uvicorn")
    index = tmp_path / "index/uvicorn"
    index.mkdir(parents=True)
    (index / name).write_bytes(wheel)
    (index / "index.html").write_text(f'<a href="{name}">{name}</a>')
    monkeypatch.setenv("PIP_INDEX_URL", index.parent.as_uri())
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    made.write("requirements.txt", "# by hand\nuvicorn==1.0  # serves\n")
    made.commit()
    return made


def built(service: Service, folder: Path, **options: Any) -> archive.Bundle:
    targets = [Target("3.10", "x86_64"), Target(f"3.{sys.version_info.minor}", os.uname().machine)]
    settings = {"targets": targets, "built_at": MOMENT, "cache": folder / "build/wheelhouse", **options}
    return archive.build(service.folder, folder / "bundles", **settings)


def content(bundle: archive.Bundle) -> dict[str, bytes]:
    with tarfile.open(bundle.path) as members:
        return {name: members.extractfile(name).read() for name in members.getnames()}  # type: ignore[union-attr]


def test_a_lock_without_hashes_gets_those_of_what_pip_picked_and_keeps_them(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = content(built(service, tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "gone").as_uri())
    again = content(built(service, tmp_path))

    wheel = "wheelhouse/uvicorn-1.0-py3-none-any.whl"
    digest = json.loads(first["manifest.json"])["files"][wheel]["sha256"]
    assert first["requirements.lock"] == f"uvicorn==1.0 --hash=sha256:{digest}\n".encode()
    assert first == again


def test_a_service_without_migrations_has_no_schema_and_no_migrator(
    service: Service, tmp_path: Path, host: support.Host, slipway: Slipway
) -> None:
    bundle = built(service, tmp_path)

    said = json.loads(content(bundle)["manifest.json"])
    assert (said["schema_head"], said["schema_revisions"]) == (None, [])
    assert said["service"]["application"] == "notes:app"
    assert not [name for name in said["files"] if "migrator" in name]


def test_migrations_beside_the_package_are_a_package_of_a_release(service: Service, tmp_path: Path) -> None:
    service.say(f'{SAID}\nmigrations = "alembic"')
    service.revision("0001", None)
    service.revision("0002", "0001")
    service.commit()

    files = content(built(service, tmp_path))

    said = json.loads(files["manifest.json"])
    assert (said["schema_head"], said["service"]["migrations"]) == (
        "0002",
        "notes_slipway_migrations:alembic",
    )
    (tmp_path / "wheel").write_bytes(files["app/notes_slipway_migrations-0-py3-none-any.whl"])
    place = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", f"--target={place}"]
    wheel = tmp_path / "notes_slipway_migrations-0-py3-none-any.whl"
    (tmp_path / "wheel").rename(wheel)
    subprocess.run([*command, str(wheel)], check=True)
    assert sorted(
        path.name for path in (place / "notes_slipway_migrations/alembic/versions").glob("*.py")
    ) == [
        "0001.py",
        "0002.py",
    ]
    assert files == content(built(service, tmp_path)), "the same commit gives the same bytes"


def test_files_for_nginx_have_to_be_in_the_wheel(service: Service, tmp_path: Path) -> None:
    service.say(f'{SAID}\nstatic = "notes:web"')
    service.commit()
    with pytest.raises(BuildError, match=r"static is 'notes:web', and the wheel .* has no notes/web/"):
        built(service, tmp_path)

    service.write("notes/web/data.py", "")
    service.commit()
    assert json.loads(content(built(service, tmp_path))["manifest.json"])["service"]["static"] == "notes:web"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("requirements.txt", "uvicorn\n", "pins no version"),
        ("requirements.txt", "uvicorn~=1.0\n", "pins no version"),
        ("requirements.txt", "uvicorn==1.*\n", "A host would not take it"),
        ("requirements.txt", "-e .\n", "an option of pip"),
        ("requirements.txt", "--index-url https://x\nuvicorn==1.0\n", "an option of pip"),
        ("requirements.txt", "notes @ file:///tmp/notes\n", "pins no version"),
        (
            "requirements.txt",
            "uvicorn==1.0 --hash=sha256:" + "0" * 64 + "\nh11==1.0\n",
            "none for 'h11==1.0'",
        ),
        ("requirements.txt", "uvicorn==1.0 --hash=md5:0\n", "A host would not take it"),
        ("requirements.lock", "pip==80.0 --hash=sha256:" + "0" * 64 + "\n", "pins pip"),
        ("requirements.txt", "uvicorn==1.0\n\xff", "A host would not|pins no version"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_line(
    service: Service, tmp_path: Path, name: str, text: str, said: str
) -> None:
    service.write(name, text)

    with pytest.raises(BuildError, match=said):
        locks.read(service.folder, [Target("3.10", "x86_64")], tmp_path / "build/wheelhouse")


def test_a_uv_lock_is_read_by_uv_where_it_is(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (service.folder / "requirements.txt").rename(service.folder / "exported")
    service.write("uv.lock", "version = 1\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(BuildError, match="this machine has no uv"):
        locks.read(service.folder, [Target("3.10", "x86_64")], tmp_path / "build/wheelhouse")

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uv").write_text(UV.replace("cat", "/bin/cat"))
    (tmp_path / "bin/uv").chmod(0o755)

    pins = locks.read(service.folder, [Target("3.10", "x86_64")], tmp_path / "build/wheelhouse")
    assert pins.startswith("uvicorn==1.0 --hash=sha256:")


def test_a_repository_elsewhere_is_cloned_once_and_fetched(service: Service, tmp_path: Path) -> None:
    said = Source(f"file://{service.folder.parent}/notes")
    first = service.git("rev-parse", "HEAD")
    assert origin.find(said, clones=tmp_path / "clones").ref == first

    service.write("notes/new.py", "")
    second = service.commit()
    service.git("tag", "v2")
    found = origin.find(said, clones=tmp_path / "clones")

    assert (found.ref, (found.folder / "notes/new.py").is_file()) == (second, True)
    assert origin.find(said, first[:10], tmp_path / "clones").ref == first
    assert origin.find(Source(said.place, "main"), "", tmp_path / "clones").ref == second
    assert origin.find(Source(said.place, "main"), "v2", tmp_path / "clones").ref == second
    assert archive.build(
        found.folder,
        tmp_path / "bundles",
        [Target("3.10", "x86_64")],
        found.ref,
        cache=tmp_path / "build/wheelhouse",
    ).release.endswith(second[:7])


def test_a_branch_is_what_it_is_there_now(service: Service, tmp_path: Path) -> None:
    said = Source(f"file://{service.folder}", "main")
    origin.find(said, clones=tmp_path / "clones")
    service.write("notes/new.py", "")
    service.git("add", "--all")
    service.git("commit", "--quiet", "--amend", "--message", "another past")

    assert origin.find(said, clones=tmp_path / "clones").ref == service.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (Source("file:///nowhere/notes"), "git could not read file:///nowhere/notes: .* git ls-remote"),
        (Source("/nowhere/notes"), "is no folder"),
        (Source("ext::sh -c id"), "is no folder"),
        (Source("--upload-pack=id"), "is no folder"),
        (Source("https://x.test/a", "--exec=id"), "app_source_ref is '--exec=id'"),
        (Source("https://x.test/a", "a..b"), "app_source_ref is"),
        (Source("service", "", "../.."), "app_source_folder is"),
    ],
)
def test_what_is_no_place_is_refused(tmp_path: Path, said: Source, sentence: str) -> None:
    with pytest.raises(BuildError, match=sentence):
        origin.find(said, clones=tmp_path / "clones")


def test_a_commit_or_a_folder_that_is_not_there_is_named(service: Service, tmp_path: Path) -> None:
    place = f"file://{service.folder}"
    with pytest.raises(BuildError, match="has no commit, tag or branch 'v9'"):
        origin.find(Source(place, "v9"), clones=tmp_path / "clones")
    with pytest.raises(BuildError, match=r"has no backend/ \(app_source_folder\) in commit [0-9a-f]{7}"):
        origin.find(Source(place, "", "backend"), clones=tmp_path / "clones")


def test_a_folder_is_taken_as_it_is_and_without_one_it_is_service() -> None:
    assert origin.find(Source()).folder == archive.PROJECT / "service"
    assert origin.find(Source("migrator")) == origin.Place(archive.PROJECT / "migrator", "")
    assert origin.find(Source("", "v1")).ref == "v1"
