"""The `fab` tasks: thin over plain functions of this package."""

from __future__ import annotations

from invoke import Context, Exit, task

from fabfile import bundle
from fabfile.errors import BuildError
from fabfile.wheels import Target


@task(
    name="build",
    help={
        "ref": "the commit, tag or branch to build; without it HEAD, with nothing changed since",
        "targets": "what hosts it is for, e.g. 3.10:x86_64,3.11:x86_64",
        "allow_dirty": "build the files as they are, for the lab; the release is marked",
        "json": "one JSON object instead of sentences",
    },
)
def build_bundle(
    _context: Context, ref: str = "", targets: str = "", allow_dirty: bool = False, json: bool = False
) -> None:
    """Build the bundle of a release: wheels for every target, manifest, checksums."""
    try:
        wanted = [Target.parse(text) for text in targets.split(",")] if targets else bundle.DEFAULT_TARGETS
        built = bundle.build(targets=wanted, ref=ref or None, allow_dirty=allow_dirty)
    except BuildError as failure:
        raise Exit(str(failure), code=2) from failure
    if json:
        print(built.as_json())
    else:
        print(f"release  {built.release}\nbundle   {built.path}\nsha256   {built.sha256}")
