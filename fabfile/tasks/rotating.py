"""`fab rotate`: a secret becomes another while it is used."""

from __future__ import annotations

from invoke import Context, task

from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, YES


@task(
    help={
        "env": ENV,
        "end": "take the old password away; refused while anybody needs it",
        "plan": "say what would be done, and do nothing",
        "yes": YES,
    }
)
def rotate(
    _context: Context, env: str = "", end: bool = False, plan: bool = False, yes: bool = False
) -> None:
    """Give the service a new password at the database, without a cut: begin, site.yml, a restart or deploy, --end."""
    with running.sentences():
        environment = running.chosen(env, yes or plan, "Rotating the database's password")
        from fabfile import rotation

        print((rotation.end if end else rotation.begin)(environment, plan))
