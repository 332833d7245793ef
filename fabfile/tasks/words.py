"""What is typed after `fab`: words that it does not know end with a sentence and an exit code that nothing else has.

Fabric would end with 1, which is a level of db-status, or with a traceback; and some options of its own it takes in
silence though no task heeds them: `fab deploy --dry` would deploy, `fab deploy -- COMMAND` would run COMMAND here.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fabric import Config, Executor
from fabric import __version__ as fabric
from fabric.main import Fab, program
from invoke import Exit
from invoke.exceptions import ParseError

from fabfile.exit_codes import USAGE

# What of Fabric's own is of use with these tasks.
HEEDED = frozenset(
    {"help", "list", "list-depth", "list-format", "complete", "print-completion-script", "version", "debug"}
    # Of the script that pip installs alone.
    | {"collection", "search-root"}
)
HELP = {"-h", "--help"}
TAKES_THE_REST = "exec"
# Its folder may stand behind it: `fab check-service ~/notes`.
TAKES_A_FOLDER = "check-service"
# What Fabric looks for before the tasks; behind one it would say nothing, and perform the task.
AHEAD = frozenset({"version", "print-completion-script", "debug"})
LISTS = ("flat", "nested", "json")
LACKING = re.compile(r"Flag <Argument: (\S+?)[ >].*needed value and was not given one!")


class Words(Fab):
    """Fabric's program with this way of refusing."""

    def normalize_argv(self, argv: Any) -> None:
        """What stands behind -- is one option of the task that takes it: Fabric would join the words by blanks."""
        typed = list(sys.argv if argv is None else argv)
        place = typed.index("--") if "--" in typed else 0
        if TAKES_THE_REST in typed[1:place]:
            typed[place:] = [f"--words={shlex.join(typed[place + 1 :])}"]
        place = typed.index(TAKES_A_FOLDER) + 1 if TAKES_A_FOLDER in typed[1:] else len(typed)
        if place < len(typed) and not typed[place].startswith("-"):
            typed[place] = f"--path={typed[place]}"
        super().normalize_argv(typed)

    def core_args(self) -> list[Any]:
        arguments: list[Any] = super().core_args()
        for argument in arguments:
            # Of an option that may be given often, Fabric would take none at all for a value.
            argument.raw_value = None
        return arguments

    def parse_core(self, *args: Any, **kwargs: Any) -> None:
        with _usage():
            super().parse_core(*args, **kwargs)

    def parse_core_args(self) -> None:
        super().parse_core_args()
        # Before one of them is performed: --list-agent-keys would be.
        self._refuse_unheeded()

    def parse_tasks(self) -> None:
        typed = self.core.unparsed
        if typed and not HELP.isdisjoint(typed[1:]):
            # Before what the task cannot be typed without is missed.
            self.core[0].args["help"].set_value(typed[0], cast=False)
            self.core.unparsed = []
        with _usage():
            super().parse_tasks()
        if self.core.remainder and not self.args.complete.value:
            raise _refused(f"No task takes what stands after --: {self.core.remainder!r}.")
        self._refuse_unheeded()
        for argument in self.core_via_tasks.args.values():
            if argument.got_value and argument.name in AHEAD:
                raise _refused(f"{_dashed(argument.name)} is heeded only where it stands before a task.")

    def parse_cleanup(self) -> None:
        asked = self.args["list-format"].value
        if asked not in LISTS:
            raise _refused(f"{asked!r} is no form of a list: {', '.join(LISTS)}.")
        with _usage():
            super().parse_cleanup()

    def _refuse_unheeded(self) -> None:
        for argument in self.core[0].args.values():
            if argument.got_value and argument.name not in HEEDED:
                raise _refused(
                    f"{_dashed(argument.name)} is an option of Fabric's own that no task here heeds."
                )


@contextmanager
def _usage() -> Iterator[None]:
    """What Fabric finds wrong with the words, in one way."""
    try:
        yield
    except ParseError as failure:
        lacking = LACKING.fullmatch(str(failure))
        raise _refused(f"{_dashed(lacking[1])} needs a value." if lacking else str(failure)) from None
    except ValueError as failure:
        # Of int(): what it could not read stands last.
        word = str(failure).rpartition(": ")[2]
        raise _refused(f"{word} is no number, and an option takes one.") from None
    except Exit as ended:
        # Fabric's own refusals of a list; what it has printed ends with 0.
        raise _refused(str(ended.message)) if ended.code == 1 else ended from None


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _refused(why: str) -> Exit:
    return Exit(f"{why} Nothing was asked of any host. Type: fab help, or fab --help TASK", code=USAGE)


def govern(fab: Any = program) -> None:
    """Have Fabric's program refuse so, also where the script that pip installs has read its own options already."""
    fab.__class__ = Words


def made(namespace: Any) -> Fab:
    """The program with these tasks and no others: it reads every word so, from the first on."""
    return Words(
        name="Fabric", version=fabric, namespace=namespace, executor_class=Executor, config_class=Config
    )
