"""Whatever is typed wrong ends with a sentence and the exit code of usage, in every task alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from invoke import Argument
from invoke.parser import ParserContext

from fabfile import exit_codes, namespace
from fabfile.tasks import words
from tests.unit.fabfile.test_words import NAMES as EVERY

ROOT = Path(__file__).parents[3]
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
    program = words.made(namespace)
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
    rest = () if task.name == words.TAKES_THE_REST else ("-- id",)
    # Behind this one it is a folder.
    word = "x nonsense" if task.name == words.TAKES_A_FOLDER else "nonsense"
    for typed in ("--nonsense", "--nonsense=1", word, *FABRICS, *rest):
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


CORE = words.made(namespace).core_args()


@pytest.mark.parametrize("argument", CORE, ids=_typed)
def test_an_option_of_fabrics_own_that_is_given_wrongly_is_usage(
    argument: Argument, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are read before any task is: none, by whatever name and wherever it stands, ends otherwise."""
    # What takes no value is wrong where nothing heeds it.
    wrong = [] if argument.optional or (not argument.takes_value and argument.name in words.HEEDED) else [""]
    wrong += ["=x"] if argument.takes_value else []
    for word in (f"{_dashed(name)}{value}" for name in argument.names for value in wrong):
        for typed in ([word], [word, "--list"], ["status", word]):
            # What stands behind an option without its value would be its value.
            if typed[-1] == word or not argument.takes_value or "=" in word:
                assert fab(*typed) == exit_codes.USAGE, typed
                said = capsys.readouterr().err
                assert "Nothing was asked of any host. Type: fab help" in said, typed


@pytest.mark.parametrize("option", sorted(words.AHEAD))
def test_what_fabric_heeds_before_a_task_alone_does_not_perform_the_task(option: str) -> None:
    """`fab deploy --version` deployed."""
    value = "=bash" if option.startswith("print") else ""
    assert fab("deploy", f"--{option}{value}") == exit_codes.USAGE


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


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


@pytest.mark.parametrize("typed", ["db-status --nonsense", "deploy -t x", "-t x deploy", "--dry deploy"])
def test_the_script_that_is_installed_ends_so_too(typed: str) -> None:
    script = Path(sys.executable).with_name("fab")
    ended = subprocess.run([script, *typed.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (exit_codes.USAGE, "")
    assert "Traceback" not in ended.stderr


def test_the_script_that_pip_installs_refuses_what_follows_a_task() -> None:
    script = [sys.executable, "-c", "from fabric.main import program; program.run()"]
    ended = subprocess.run(
        [*script, "deploy", "--dry"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (exit_codes.USAGE, ""), ended.stderr


def test_a_shell_that_completes_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert fab("--complete", "--", "fab", "db-s") == 0
    assert "db-status" in capsys.readouterr().out
