"""What is typed after `fab`: words that it does not know end with a sentence and an exit code that nothing else has.

Fabric would end with 1, which is a level of db-status, or with a traceback; and some options of its own it takes in
silence though no task heeds them: `fab deploy --dry` would deploy, `fab deploy -- COMMAND` would run COMMAND here.
"""

from __future__ import annotations

from typing import Any

from fabric.main import Fab, program
from invoke import Exit
from invoke.exceptions import ParseError

from fabfile.exit_codes import USAGE

# What of Fabric's own is of use with these tasks.
HEEDED = frozenset(
    {"help", "list", "list-depth", "list-format", "complete", "print-completion-script", "version", "debug"}
    | {"collection", "search-root"}
)
HELP = {"-h", "--help"}


class Words(Fab):
    """Fabric's program with this way of refusing."""

    def parse_tasks(self) -> None:
        typed = self.core.unparsed
        if typed and not HELP.isdisjoint(typed[1:]):
            # Before what the task cannot be typed without is missed.
            self.core[0].args["help"].set_value(typed[0], cast=False)
            self.core.unparsed = []
        try:
            super().parse_tasks()
        except ParseError as failure:
            raise _refused(str(failure)) from None
        except ValueError as failure:
            # Of int(): what it could not read stands last.
            word = str(failure).rpartition(": ")[2]
            raise _refused(f"{word} is no number, and an option takes one.") from None
        if self.core.remainder and not self.args.complete.value:
            raise _refused(f"No task takes what stands after --: {self.core.remainder!r}.")
        for argument in self.core[0].args.values():
            if argument.got_value and argument.name not in HEEDED:
                raise _refused(f"--{argument.name} is an option of Fabric's own that no task here heeds.")

    def parse_cleanup(self) -> None:
        try:
            super().parse_cleanup()
        except ParseError as failure:
            raise _refused(str(failure)) from None


def _refused(why: str) -> Exit:
    return Exit(f"{why} Nothing was asked of any host. Type: fab help, or fab --help TASK", code=USAGE)


def govern(fab: Any = program) -> None:
    """Have Fabric's program refuse so. The script that pip installs runs this one object, and takes no other."""
    fab.__class__ = Words
