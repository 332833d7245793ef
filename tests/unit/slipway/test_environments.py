"""What releases with the same lock share: built once, checked, repaired, and gone when nothing needs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slipway import files
from slipway.releases import environment, requirements

from tests.unit.conftest import Answer, Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_recovery import wait_for

pytestmark = pytest.mark.usefixtures("quick_systemd")

COMMAND = {
    "tiny/cli.py": "def main():\n    import shop, tiny\n    print(shop.NAME, tiny.NAME)\n",
    "tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\ntiny = tiny.cli:main\n",
}
MORE = {"tiny/more.py": "WORDS = 'more'\n"}


def stage(slipway: Slipway, folder: Path, release: str = RELEASE, **content: Any) -> Answer:
    """Staged by standard input, as fab ships it."""
    bundle = support.good_bundle(folder, release, **content)
    return slipway(*support.staging(bundle), given=bundle)


def steps(host: Host, step: str) -> int:
    lines = [json.loads(line) for line in host.journal.read_text().splitlines()]
    return sum(line["step"] == step and line["phase"] == "begin" for line in lines)


def said_by(host: Host, release: str, *words: str) -> str:
    """What the release's own Python, or a command beside it, prints."""
    program = host.release(release) / "venv/bin" / words[0]
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, env={})
    return done.stdout.strip() or done.stderr


def shared(host: Host) -> list[Path]:
    return sorted(path for path in host.environments.iterdir() if path.name != environment.name_of(host, ()))


def library(host: Host) -> Path:
    """The folder of the shared package."""
    (found,) = host.environments.glob("*/venv/lib/python3*/site-packages/tiny")
    return found


def test_releases_with_the_same_lock_share_one_environment(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    first = stage(slipway, tmp_path)
    second = stage(slipway, tmp_path, OTHER, application={"shop/more.py": "WORDS = 'more'\n"})

    assert first.result["environment_built"] == "was not there yet"
    assert second.result["environment_built"] == ""
    assert shared(host) == [host.environments / first.result["environment"]]
    assert steps(host, "stage.environment") == 1
    assert said_by(
        host, OTHER, "python", "-c", "import shop.more, tiny; print(shop.more.WORDS, tiny.NAME)"
    ) == ("more tiny")
    assert not list(host.release(OTHER).glob("venv/lib/python3*/site-packages/tiny"))
    assert files.tree_size(host.release(OTHER)) < 300_000


def test_the_same_lock_with_other_comments_is_the_same_environment(host: Host) -> None:
    text = support.bundle_files()["requirements.lock"]
    named = [environment.name_of(host, requirements.parse(data)) for data in (text, b"# more\n" + text)]

    assert named[0] == named[1]


def test_what_is_the_releases_own_comes_before_what_it_shares(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    stage(slipway, tmp_path, application={"tiny/__init__.py": "NAME = 'own'\n"})

    assert said_by(host, RELEASE, "python", "-c", "import tiny; print(tiny.NAME)") == "own"


def test_commands_of_shared_packages_run_as_the_release(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    stage(slipway, tmp_path, locked=COMMAND)

    assert said_by(host, RELEASE, "tiny") == "shop tiny"


def test_nothing_that_serves_has_a_pip(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    stage(slipway, tmp_path)

    assert "No module named pip" in said_by(host, RELEASE, "python", "-m", "pip", "--version")


def test_the_installer_is_made_once_for_all_locks_and_anew_when_it_was_changed(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    stage(slipway, tmp_path)
    own = host.environments / environment.name_of(host, ())
    made = own.stat().st_ino
    stage(slipway, tmp_path, OTHER, locked=MORE)
    assert (own.stat().st_ino, len(shared(host))) == (made, 2)

    (pip,) = own.glob("venv/lib/python3*/site-packages/pip/__init__.py")
    pip.write_text("raise SystemExit('not the one of the host')\n")
    stage(slipway, tmp_path, THIRD)

    assert environment.complaint(host, own.name) == ""
    slipway("prune", "--keep", "1")
    assert own.is_dir()


def test_a_release_may_have_several_wheels_of_its_own(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    name, wheel = support.tiny_wheel("migrator")
    content = {**support.bundle_files(), f"app/{name}": wheel}
    bundle = support.pack(tmp_path / "two.tar", support.members_of(content))

    slipway(*support.staging(bundle), given=bundle)

    assert said_by(host, RELEASE, "python", "-c", "import migrator, shop; print(migrator.NAME)") == "migrator"
    assert len(shared(host)) == 1


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda found: flip(found / "__init__.py"), "tiny/__init__.py was changed"),
        (lambda found: (found / "__init__.py").rename(found / "evil.py"), "evil.py was added"),
        (lambda found: (found.parents[4] / environment.RECORD).write_text("{"), "cannot be read"),
    ],
)
def test_a_damaged_environment_is_built_anew_by_the_next_stage(
    host: Host, slipway: Slipway, tmp_path: Path, damage: Any, said: str
) -> None:
    stage(slipway, tmp_path)
    damage(library(host))

    answer = stage(slipway, tmp_path, OTHER)

    assert said in answer.result["environment_built"]
    assert environment.complaint(host, answer.result["environment"]) == ""
    assert said_by(host, RELEASE, "python", "-c", "import tiny; print(tiny.NAME)") == "tiny"
    assert list(host.staging.iterdir()) == []


def test_an_environment_that_cannot_be_built_anew_stays_as_it_was(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    stage(slipway, tmp_path)
    (library(host) / "evil.py").write_text("")
    bundle = support.good_bundle(tmp_path, OTHER)

    answer = slipway(*support.staging(bundle), given=bundle, limit_bytes=1_000)

    assert answer.code == 3, answer.json
    assert said_by(host, RELEASE, "python", "-c", "import tiny; print(tiny.NAME)") == "tiny"
    assert [found.name for found in host.releases.iterdir()] == [RELEASE]


def test_a_disk_that_fills_up_while_an_environment_is_built_leaves_none(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    big = {"tiny/big.py": f"TEXT = '{'x' * 3_000_000}'\n"}
    bundle = support.good_bundle(tmp_path, locked=big)

    answer = slipway(*support.staging(bundle), given=bundle, limit_bytes=1_000_000)

    assert (answer.code, answer.error) == (3, "install-failed"), answer.json
    assert shared(host) == list(host.staging.iterdir()) == list(host.releases.iterdir()) == []


def test_slipway_killed_while_an_environment_is_built_is_made_up_for(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    # Slow to compile, so that pip is still at work when slipway is killed.
    modules = {f"tiny/m{number}.py": "x = [" + "1, " * 20_000 + "]\n" for number in range(40)}
    bundle = support.good_bundle(tmp_path, locked=modules)
    words = support.staging(bundle)
    with bundle.open("rb") as stream:
        first = subprocess.Popen(support.command(host.root, *words), stdin=stream, stdout=subprocess.PIPE)
    wait_for((host.staging / RELEASE / "venv/bin/python").exists)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not [path for path in shared(host) if (path / environment.RECORD).exists()]
    assert any("environments/" in left for left in slipway("status").result["leftovers"])

    assert slipway(*words, "--wait", "60", given=bundle).json["changed"] is True

    assert len(list(library(host).glob("m*.py"))) == 40
    assert slipway("status").result["leftovers"] == []


def test_slipway_killed_between_two_releases_of_one_lock_builds_no_second_environment(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    bundle = support.good_bundle(tmp_path)
    words = support.staging(bundle)
    with support.standard_input(bundle):
        # The end of stage.environment: after the begin of stage, and the two of unpacking.
        killed = support.run(host.root, *words, kill_after=5)
    assert [path for path in shared(host) if (path / environment.RECORD).exists()]
    assert killed.returncode == -signal.SIGKILL

    assert stage(slipway, tmp_path, OTHER).result["environment_built"] == ""


def test_another_lock_is_another_environment_and_prune_takes_what_is_not_needed(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    old = stage(slipway, tmp_path, RELEASE, locked=MORE).result["environment"]
    stage(slipway, tmp_path, OTHER)
    new = stage(slipway, tmp_path, THIRD).result["environment"]
    assert {path.name for path in host.wheels.iterdir()} == {
        f"{support.sha256(path)}.whl" for path in host.wheels.iterdir()
    }
    assert len(list(host.wheels.iterdir())) == 2
    more = ("python", "-c", "import tiny.more; print(tiny.more.WORDS)")
    assert (said_by(host, RELEASE, *more), "No module" in said_by(host, THIRD, *more)) == ("more", True)

    slipway("prune", "--keep", "2")

    assert (old != new, shared(host)) == (True, [host.environments / new])
    assert len(list(host.wheels.iterdir())) == 1
    assert slipway("prune", "--keep", "2").json["changed"] is False


def test_prune_keeps_all_environments_while_a_manifest_is_damaged(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    for release, locked in ((RELEASE, MORE), (OTHER, None), (THIRD, None)):
        stage(slipway, tmp_path, release, locked=locked)
    (host.release(RELEASE) / "manifest.json").write_text("{")

    slipway("prune", "--keep", "1")

    assert len(shared(host)) == len(list(host.wheels.iterdir())) == 2


def test_a_release_of_an_older_slipway_has_all_of_its_own_and_is_pruned_like_any(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    support.install_release(host, RELEASE)
    stage(slipway, tmp_path, OTHER)

    slipway("prune", "--keep", "2")
    assert (host.release(RELEASE).exists(), len(shared(host))) == (True, 1)

    slipway("prune", "--keep", "1")
    assert (host.release(RELEASE).exists(), len(shared(host))) == (False, 1)
