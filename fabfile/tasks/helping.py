"""`fab help`: all tasks, by what they are for; `fab --list` knows only their alphabet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from invoke import Context, task

from fabfile.tasks.flags import PlainTask, plain


def text(groups: Mapping[str, Sequence[Any]]) -> str:
    """A heading a group, a line a task."""
    lines = []
    for heading, tasks in groups.items():
        lines += [heading]
        lines += [f"  fab {each.name.replace('_', '-'):<17} {_summary(each)}" for each in tasks]
        lines += [""]
    return "\n".join(
        [*lines, "fab --help TASK explains one; what an exit code says is in docs/exit-codes.md."]
    )


def _summary(each: Any) -> str:
    return str(each.body.__doc__ or "").strip().partition("\n")[0]


def help_of(groups: Mapping[str, Sequence[Any]]) -> PlainTask:
    """The task that shows these groups."""

    @task
    def help(_context: Context) -> None:
        """Show all tasks, by what they are for."""
        print(text(groups))

    return plain(help)
