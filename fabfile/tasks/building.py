"""`fab build` and `fab image`: a commit as one file for hosts, and that file as an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.tasks import running

if TYPE_CHECKING:
    from fabfile.bundle.archive import Bundle
    from fabfile.hosts.environment import Source


@task(
    help={
        "ref": "the commit, tag or branch to build; without it HEAD, with nothing changed since",
        "targets": "what hosts it is for, e.g. 3.10:x86_64,3.11:x86_64",
        "allow_dirty": "build the files as they are, for the lab; the release is marked",
        "env": "of this environment's service (app_source), signed for it; without it nobody signs before a deploy",
        "source": "a folder or a git repository with the service, instead of service/ or the environment's",
        "folder": "where in --source the service is",
        "json": "one JSON object instead of sentences",
    },
)
def build(
    _context: Context,
    ref: str = "",
    targets: str = "",
    allow_dirty: bool = False,
    env: str = "",
    source: str = "",
    folder: str = "",
    json: bool = False,
) -> None:
    """Build the bundle of a release: wheels for every target, manifest, checksums; sign it."""
    with running.sentences():
        from fabfile.bundle import signing, signing_keys
        from fabfile.hosts import environment

        said = environment.load(env) if env else None
        wanted = said.signing if said else environment.Signing(required=False)
        if wanted.required:
            signing_keys.chosen(wanted)
        place = said.source if said and not source else environment.Source(source, "", folder)
        python = said.python if said else ""
        made = signing.signed(wanted, built(place, ref, python, targets, allow_dirty))
        if made.signature:
            signing.put_beside(made)
        if json:
            print(made.as_json())
        else:
            print(f"release  {made.release}\nbundle   {made.path}\nsha256   {made.sha256}")
            print(f"signed   {made.signed_with or 'not yet: fab deploy signs it'}")


def built(source: Source, ref: str, python: str, targets: str = "", allow_dirty: bool = False) -> Bundle:
    """A bundle that is built now. python: the hosts' own (3.12), or empty. Raises BuildError."""
    # Imported here: a rollback builds nothing, and has a second to be done in.
    from fabfile.bundle import archive, origin

    running.checked("a commit", ref, running.REF, "main, v1.2 or 3f2a9c1")
    wanted = archive.targets(targets, python)
    place = origin.find(source, ref)
    return archive.build(place.folder, targets=wanted, ref=place.ref or None, allow_dirty=allow_dirty)


def given(path: str) -> Bundle:
    """A bundle that was built before. Raises RefusedError."""
    from fabfile.bundle import archive, wheels

    file = running.bundle(path)
    manifest = archive.manifest_of(file)
    release = running.release_id(str(manifest.get("release", "")))
    return archive.Bundle(file, wheels.sha256(file), release, str(manifest.get("app", "")))


@task(
    help={
        "ref": "the commit, tag or branch to build; without it HEAD, with nothing changed since",
        "bundle": "a bundle that was built before, instead of building one",
        "base": "the image it stands on: by digest, or of this machine; without it what `make image-base` makes",
        "tool": "podman, buildah or docker; without it the first of them that is here",
        "targets": "what the bundle is for, e.g. 3.11:x86_64: the base's Python has to be among them",
        "allow_dirty": "build the files as they are; the release is marked",
        "source": "a folder or a git repository with the service, instead of service/",
        "folder": "where in --source the service is",
        "sbom": "write what it is made of beside the bundle, as CycloneDX has it",
        "fresh": "use no layer of an earlier build",
        "json": "one JSON object instead of sentences",
    },
)
def image(
    _context: Context,
    ref: str = "",
    bundle: str = "",
    base: str = "",
    tool: str = "",
    targets: str = "",
    allow_dirty: bool = False,
    source: str = "",
    folder: str = "",
    sbom: bool = False,
    fresh: bool = False,
    json: bool = False,
) -> None:
    """Build the image of a release, from the same bundle that hosts get; nothing is fetched."""
    with running.sentences():
        from fabfile.hosts import environment
        from fabfile.images import building, materials

        if ref and bundle:
            raise RefusedError("--ref builds a bundle and --bundle names one: give one of them.")
        base = base or building.BASE
        building.check_base(base)
        tool = building.find(tool)
        place = environment.Source(source, "", folder)
        release = given(bundle) if bundle else built(place, ref, "", targets, allow_dirty)
        if sbom and tool == "buildah":
            raise RefusedError(
                "buildah runs no image, which --sbom has to: use podman or docker. Nothing was built."
            )
        made = building.build(release, base, tool, fresh)
        listed = str(materials.write(release, made.name, tool)) if sbom else ""
        if json:
            print(made.as_json(listed))
            return
        print(f"release  {made.release}\nbundle   {made.bundle}\nimage    {made.name}\nid       {made.id}")
        if listed:
            print(f"sbom     {listed}")
