"""`fab check-service`: what of the contract holds, by a service that is built, installed, started, asked and ended."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fabfile.bundle import archive
from fabfile.contract import checking
from fabfile.contract.lines import Line, is_kept
from fabfile.errors import RefusedError
from tests.unit.fabfile.plain_service import APPLICATION, SAID, Service

CACHE = archive.PROJECT / "build/wheelhouse"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path / "notes")


def checked(service: Service) -> dict[str, Line]:
    return {line.what: line for line in checking.check(service.folder, {}, None, cache=CACHE)}


def test_a_plain_service_holds_and_is_told_what_it_does_without(service: Service) -> None:
    found = checked(service)

    assert is_kept(list(found.values())), found
    states = {what: line.state for what, line in found.items()}
    assert [what for what, state in states.items() if state == "without" and what != "Python"] == [
        "migrations",
        "preload",
        "schema_applied",
    ]
    assert {"git", "name", "lock", "application", "check", "ready", "X-Release", "SIGTERM"} <= states.keys()
    assert "/healthz answers 200" in found["ready"].said


def test_it_is_tried_under_the_python_that_is_wanted(service: Service) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    (found,) = (
        line for line in checking.check(service.folder, {}, None, here, CACHE) if line.what == "Python"
    )
    assert (found.state, found.said) == (
        "holds",
        f"it was built and installed under {here}, as app_python has it",
    )


def test_a_preload_that_holds_and_one_that_does_not(service: Service) -> None:
    service.say(f"{SAID}\npreload = true")
    assert checked(service)["preload"] == Line("preload", "holds", "it is imported once for all workers")

    service.write("notes/__init__.py", f"{APPLICATION}\nimport socket\n\nKEPT = socket.socket()\n")

    found = checked(service)["preload"]
    assert found.state == "without"
    assert re.match(r"The import of notes:app left [0-9]+: socket:\[[0-9]+\]: each worker", found.said)


def test_it_is_tried_with_the_variables_that_its_start_gives_it(service: Service, tmp_path: Path) -> None:
    service.say(f'{SAID}\nenvironment = {{ SIGNED_BY = "credential:jwt_key" }}')
    service.write("notes/__init__.py", f"import os\n\nassert os.environ['SIGNED_BY']\n{APPLICATION}")
    credentials = tmp_path / "credentials"
    credentials.mkdir()

    lacking = list(checking.check(service.folder, {}, credentials, cache=CACHE))[-1]
    assert (lacking.what, lacking.state) == ("environment", "MISSING")
    assert "The credential jwt_key, which SIGNED_BY is to have, is missing." in lacking.said

    (credentials / "jwt_key").write_text("kept as a file\n")
    found = {line.what: line for line in checking.check(service.folder, {}, credentials, cache=CACHE)}
    assert is_kept(list(found.values())), found
    assert found["application"].state == "holds"


def headers(name: str) -> Callable[[Service], None]:
    def change(service: Service) -> None:
        text = APPLICATION.replace('b"2")]', f'b"2"), (b"{name}", b"mine")]')
        service.write("notes/__init__.py", text)

    return change


def says(said: str) -> Callable[[Service], None]:
    return lambda service: service.say(said if "application" in said else f"{SAID}\n{said}")


def two_heads(service: Service) -> None:
    service.say(f'{SAID}\nmigrations = "alembic"')
    for name in ("a", "b"):
        service.revision(name, None)


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        (headers("x-release"), "X-Release", "2 of them"),
        (says('application = "notes:app"\nhealth = "/ready"'), "ready", "/ready answers HTTP 404"),
        (says('application = "notes:absent"'), "application", "no attribute 'absent'"),
        (says('application = "notes:app"\ncheck = "notes check 78"'), "check", "`notes check 78` fails"),
        (says('processes = { worker = "celery" }'), "process worker", "no package of the release installs"),
        (says('driver = "oracle"'), "build", "its driver is 'oracle'"),
        (says('application = "elsewhere:app"'), "build", "no elsewhere.py and no elsewhere/__init__.py"),
        (lambda service: service.write("requirements.txt", "h11==0.16.0\n"), "build", "pins no uvicorn"),
        (lambda service: service.write("requirements.txt", "uvicorn>=0.30\n"), "build", "pins no version"),
        (
            lambda service: (service.folder / "requirements.txt").unlink(),
            "build",
            "no requirements.lock, no req",
        ),
        (two_heads, "migrations", "2 heads"),
    ],
)
def test_what_does_not_hold_is_said_with_what_it_means(
    service: Service, change: Callable[[Service], None], what: str, said: str
) -> None:
    change(service)

    found = checked(service)

    assert found[what].state == "MISSING", found
    assert said in found[what].said
    if what == "build":
        assert f"{tempfile.gettempdir()}/tmp" not in found[what].said, "the files to mend are the caller's"
    assert not is_kept(list(found.values()))


def test_a_folder_that_git_does_not_know_is_tried_and_told(service: Service, tmp_path: Path) -> None:
    (service.folder / ".git").rename(tmp_path / "elsewhere")

    found = checked(service)

    assert found["git"].state == "MISSING"
    assert found["application"].state == "holds"


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"is no folder\. Nothing was tried"):
        list(checking.check(tmp_path / "absent", {}, None))


def test_the_command_says_a_line_a_rule_and_ends_with_3_when_one_is_missing(service: Service) -> None:
    service.say('application = "notes:app"\nfactory = 1')
    fab = [str(archive.PROJECT / ".venv/bin/fab"), "check-service", str(service.folder)]

    shown = subprocess.run(fab, capture_output=True, text=True, cwd=archive.PROJECT)
    asked = subprocess.run([*fab, "--json"], capture_output=True, text=True, cwd=archive.PROJECT)

    assert (shown.returncode, asked.returncode) == (3, 3), shown.stderr
    assert "MISSING  build            [tool.slipway] of " in shown.stdout
    said = json.loads(asked.stdout)
    assert (said["holds"], said["lines"][-1]["state"]) == (False, "MISSING")
