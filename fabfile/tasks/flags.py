"""Short options are given by hand and mean the same in every task; invoke would make up others for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from invoke import Task

from fabfile import exit_codes

SHORT = {"env": "e", "yes": "y", "follow": "f"}


class PlainTask(Task):  # type: ignore[type-arg]
    """A task whose only short options are those of SHORT."""

    def arg_opts(self, name: str, default: Any, taken_names: Iterable[str]) -> dict[str, Any]:
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        options["names"] += [SHORT[name]] if name in SHORT else []
        return options


def plain(task: Any) -> PlainTask:
    """The same task with the short options of SHORT alone, and its exit codes in its help."""
    made = PlainTask(
        task.body,
        name=task.name,
        positional=task.positional,
        optional=task.optional,
        iterable=task.iterable,
        help=task.help,
        auto_shortflags=False,
    )
    codes = exit_codes.text(made.name.replace("_", "-"))
    made.__doc__ = f"{(task.body.__doc__ or '').strip()}\n\n{codes}"
    return made
