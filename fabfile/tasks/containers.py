"""`fab image-deploy`, `image-rollback`: a release's image live in the containers of this machine."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, task

from fabfile import report
from fabfile.errors import RefusedError
from fabfile.tasks import running

if TYPE_CHECKING:
    from fabfile.containers.project import Image, Project

JSON = "one JSON object on standard output; what happens meanwhile is on the other one"
TICKET = "the change this belongs to, for the journal"
GATE = "seconds a container may take to be ready; 60 without it"


@task(
    help={
        "to": "the release; without it the newest of the images that are here",
        "image": "an image by its whole name, as one of a registry by its digest",
        "archive": "a file of podman save or docker save that is loaded first",
        "gate": GATE,
        "plan": "say what would be done, and do nothing",
        "ticket": TICKET,
        "json": JSON,
    }
)
def image_deploy(
    _context: Context,
    to: str = "",
    image: str = "",
    archive: str = "",
    gate: str = "",
    plan: bool = False,
    ticket: str = "",
    json: bool = False,
) -> None:
    """Bring an image live in this machine's containers, one after the other, without losing a request."""
    with running.sentences():
        running.release_id(to)
        if to and image:
            raise RefusedError(
                "--to names a release and --image an image: give one of them. Nothing was changed."
            )
        if archive and not Path(archive).is_file():
            raise RefusedError(f"{archive!r} is no file: podman save writes one. Nothing was changed.")
        from fabfile.containers.project import Project

        project = Project()
        if archive:
            project.load(Path(archive))
        _bring(project, _wanted(project, to, image), False, gate, plan, ticket, json)


@task(
    help={
        "to": "the release; without it the one that was live before",
        "gate": GATE,
        "plan": "say what would be done, and do nothing",
        "ticket": TICKET,
        "json": JSON,
    }
)
def image_rollback(
    _context: Context, to: str = "", gate: str = "", plan: bool = False, ticket: str = "", json: bool = False
) -> None:
    """Bring an earlier image live again in this machine's containers; no migration runs."""
    with running.sentences():
        running.release_id(to)
        from fabfile.containers.project import SLOTS, Project
        from fabfile.containers.record import Journal

        project = Project()
        if to:
            _bring(project, _wanted(project, to, ""), True, gate, plan, ticket, json)
            return
        before = Journal(project.state).earlier()
        if before is None:
            raise RefusedError(f"Nothing was live in {' and '.join(SLOTS)} before. Nothing was changed.")
        _bring(project, project.image(str(before["image"])), True, gate, plan, ticket, json)


def _wanted(project: Project, to: str, image: str) -> Image:
    if image:
        return project.image(image)
    names = project.images()
    found = [name for name in names if name.endswith(f":{to}")] if to else names
    if not found:
        raise RefusedError(
            f"There is no image of {to or 'the service'} here: {', '.join(names) or 'none at all'}. make image makes "
            "one; podman save, and --archive, bring one from elsewhere. Nothing was changed."
        )
    return project.image(found[0])


def _bring(
    project: Project, image: Image, back: bool, gate: str, plan: bool, ticket: str, json: bool
) -> None:
    running.checked("a ticket", ticket, running.TICKET, "OPS-123")
    running.checked("a number of seconds", gate, running.SECONDS, "10")
    from fabfile.containers import replacing, standing
    from fabfile.containers.project import SLOTS

    wish = standing.Wish(image, back, float(gate) if gate else standing.Wish.patience, ticket)
    if plan:
        found = standing.look(project, wish)
        print(standing.plan(found, wish))
        standing.refuse(found, wish)
        return
    with report.of(list(SLOTS), apart=json) as told:
        moved = replacing.deploy(project, told, wish)
    if json:
        print(encoding.dumps({"version": 1, "done": "rolled back" if back else "deployed", **asdict(moved)}))
        return
    print(f"{'rolled back to' if back else 'deployed'} {moved.release} in {moved.seconds:.1f} s")
