"""Whatever is typed wrong ends with a sentence and the exit code of usage, in every task alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fabric.main import make_program
from invoke import Argument
from invoke.parser import ParserContext

from fabfile import exit_codes, namespace
from fabfile.tasks import words
from tests.unit.test_fab_words import NAMES as EVERY

ROOT = Path(__file__).parents[2]
# None of them is a task's, so that each is known to Fabric alone.
FABRICS = (
    "-t x",
    "-t 5",
    "--dry",
    "-R",
    "-H app-1",
    "--hosts app-1",
    "-i key",
    "--pty",
    "--echo",
    "-w",
    "-S file",
)


def fab(*typed: str, performed: bool = False) -> int:
    """The exit code of what is typed, parsed by Fabric as its script does."""
    program = make_program()
    words.govern(program)
    # Fabric's loader would put a second copy of the package in the place of the one that other tests have.
    program.load_collection = lambda: setattr(program, "collection", namespace)
    if not performed:
        program.execute = lambda: None
    with pytest.raises(SystemExit) as ended:
        program.run(["fab", *typed])
    return int(ended.value.code or 0)


def needed(task: ParserContext) -> list[str]:
    """What a task cannot be typed without."""
    return ["x" for argument in task.positional_args if argument.default is None]


@EVERY
def test_what_no_task_knows_has_an_exit_code_of_its_own(
    task: ParserContext, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed in ("--nonsense", "--nonsense=1", "nonsense", *FABRICS, "-- id"):
        assert fab(str(task.name), *needed(task), *typed.split()) == exit_codes.USAGE, typed
        said = capsys.readouterr().err
        assert "Nothing was asked of any host. Type: fab help" in said, typed
        assert "Traceback" not in said


@EVERY
def test_an_option_that_lacks_its_value_or_its_number_is_usage(task: ParserContext) -> None:
    for argument in task.args.values():
        if argument.takes_value and not argument.positional:
            assert fab(str(task.name), *needed(task), f"--{_typed(argument)}") == exit_codes.USAGE
        if argument.kind is int:
            assert fab(str(task.name), *needed(task), f"--{_typed(argument)}=x") == exit_codes.USAGE


def _typed(argument: Argument) -> str:
    return str(argument.names[0])


@EVERY
def test_help_is_no_usage_error(task: ParserContext, capsys: pytest.CaptureFixture[str]) -> None:
    assert fab(str(task.name), "--help") == 0
    assert f"{exit_codes.USAGE}  " in capsys.readouterr().out


def test_a_task_that_nobody_knows_is_usage() -> None:
    assert fab("--help", "nonsense") == exit_codes.USAGE
    assert fab("nonsense") == exit_codes.USAGE
    assert fab("db-kill") == exit_codes.USAGE


def test_no_level_and_no_other_code_is_that_of_usage() -> None:
    others = (set(exit_codes.CODES) | set(exit_codes.STATUS)) - {exit_codes.USAGE}
    assert max(others - {130}) < exit_codes.USAGE
    assert exit_codes.STATUS[exit_codes.USAGE] == exit_codes.CODES[exit_codes.USAGE]


@pytest.mark.parametrize("typed", ["db-status --nonsense", "deploy -t x", "deploy --dry"])
def test_the_script_that_is_installed_ends_so_too(typed: str) -> None:
    script = Path(sys.executable).with_name("fab")
    ended = subprocess.run([script, *typed.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (exit_codes.USAGE, "")
    assert "Traceback" not in ended.stderr


def test_a_shell_that_completes_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert fab("--complete", "--", "fab", "db-s") == 0
    assert "db-status" in capsys.readouterr().out
