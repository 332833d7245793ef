"""`fab rotate`: a secret becomes another while it is used."""

from __future__ import annotations

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, YES


@task(
    help={
        "env": ENV,
        "tokens": "the key of tokens instead: each call goes one step on, refused while it would log anybody out",
        "authority": "the private authority instead: each call goes one step on, refused until each host is ready",
        "end": "take the old password away; refused while anybody needs it",
        "plan": "say what would be done, and do nothing",
        "yes": YES,
    }
)
def rotate(
    _context: Context,
    env: str = "",
    tokens: bool = False,
    authority: bool = False,
    end: bool = False,
    plan: bool = False,
    yes: bool = False,
) -> None:
    """Give the service a new password at the database, without a cut: begin, site.yml, a restart or deploy, --end."""
    with running.sentences():
        if tokens and authority:
            raise RefusedError(
                "--tokens and --authority are two rotations: one at a time. Nothing was changed."
            )
        if (tokens or authority) and end:
            which = "--tokens" if tokens else "--authority"
            raise RefusedError(
                f"{which} goes one step on by itself, the last one too: leave --end out. Nothing was changed."
            )
        what = "the key of tokens" if tokens else "the authority" if authority else "the database's password"
        environment = running.chosen(env, yes or plan, f"Rotating {what}")
        if authority:
            from fabfile.upkeep import authority_rotation

            print(authority_rotation.go_on(environment, plan))
            return
        from fabfile.upkeep import rotation, token_rotation

        if tokens:
            print(token_rotation.go_on(environment, plan))
            return
        print((rotation.end if end else rotation.begin)(environment, plan))
