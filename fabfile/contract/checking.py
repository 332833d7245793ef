"""`fab check-service`: the contract, rule by rule, in the order in which a deploy would meet them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fabfile.bundle import archive, declaration, locks, migrations, source
from fabfile.contract import release as releases
from fabfile.contract import running
from fabfile.contract.lines import Line, holds, missing, without
from fabfile.contract.release import Release
from fabfile.errors import BuildError, RefusedError

SECONDS = 60
IMPORT = """\
import functools, importlib, sys
module, _, attributes = sys.argv[1].partition(":")
found = functools.reduce(getattr, attributes.split("."), importlib.import_module(module))
sys.exit(0 if callable(found) else f"{sys.argv[1]} is {type(found).__name__}, which is not callable")
"""


def check(
    service: Path,
    settings: Mapping[str, str],
    credentials: Path | None,
    wanted: str = "",
    cache: Path = archive.PROJECT / "build/wheelhouse",
) -> Iterator[Line]:
    """Each rule as soon as it was tried; what stands on one that does not hold is not. Raises RefusedError.

    wanted: the X.Y of releases where the hosts' own Python is not theirs.
    """
    if not service.is_dir():
        raise RefusedError(f"{service} is no folder. Nothing was tried.")
    interpreter, version = releases.python(wanted or releases.WANTED)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        try:
            yield _in_git(service)
            tree = releases.copied(service, scratch)
            yield from _declared(tree)
            made = releases.made(service, tree, scratch, interpreter, version, cache)
        except BuildError as failure:
            # It was built of a copy; the files to mend are the caller's.
            yield missing("build", str(failure).replace(str(releases.place(scratch)), str(service)))
            return
        yield _interpreter(version, wanted)
        yield _locked(made)
        try:
            environment = running.environ(made, settings, credentials)
        except BuildError as failure:
            yield missing("environment", str(failure))
            return
        imported = _imported(made, environment)
        yield imported
        yield from _migrations(made, environment)
        yield from _programs(made)
        if imported.state == "holds":
            checked = _checked(made, environment)
            yield checked
            if checked.state != "MISSING":
                yield from running.lines(made, environment)


def _in_git(service: Path) -> Line:
    if source.is_in_git(service):
        return holds("git", "it is in a repository: a release is named after its commit")
    return missing("git", f"{service} is in no git repository, and a release is named after its commit")


def _declared(tree: Path) -> Iterator[Line]:
    said, app = declaration.declared(tree), declaration.app_name(tree)
    yield holds("name", f"{app}: the inventory's app_name has to be the same")
    declaration.understood(tree)
    yield (
        holds("declaration", f"[tool.slipway] has {', '.join(sorted(said))}")
        if "application" in said
        else without(
            "declaration", "no application: it is started as a service of before, as <name>.main:application"
        )
    )
    prefix = str(said.get("environment_prefix", f"{app.upper()}_"))
    own = "" if prefix == f"{app.upper()}_" else f"; the inventory needs app_environment_prefix: {prefix}"
    yield holds("prefix", f"its settings begin with {prefix}{own}")


def _interpreter(version: str, wanted: str) -> Line:
    where = "app_python" if wanted else "Ubuntu 22.04"
    if version == (wanted or releases.WANTED):
        return holds("Python", f"it was built and installed under {version}, as {where} has it")
    lacking = f"this machine has no python{wanted or releases.WANTED}, which {where} has"
    return without("Python", f"{lacking}: it was tried under {version}")


def _locked(made: Release) -> Line:
    path = locks.found(made.service)
    if path.name == locks.UV or " --hash=" in path.read_text(encoding="utf-8"):
        return holds("lock", f"{path.name} pins every package with its hashes")
    return without(
        "lock", f"{path.name} has no hashes: whoever builds first trusts the index for what it gives"
    )


def _imported(made: Release, environment: Mapping[str, str]) -> Line:
    said = _ran([str(made.program("python")), "-c", IMPORT, made.said.application], made, environment)
    if said:
        return missing(
            "application", f"{made.said.application} cannot be imported. {running.GIVEN} It said: {said}"
        )
    return holds("application", f"{made.said.application} is imported")


def _checked(made: Release, environment: Mapping[str, str]) -> Line:
    if not made.said.check:
        return without("check", "no check: wrong settings are seen when the gate waits in vain, not at once")
    words = " ".join(made.said.check)
    program = made.program(made.said.check[0])
    if not program.is_file():
        return missing("check", f"`{words}`: no package of the release installs the program {program.name}")
    said = _ran([str(program), *made.said.check[1:]], made, environment)
    return (
        missing("check", f"`{words}` fails. {running.GIVEN} It said: {said}")
        if said
        else holds("check", f"`{words}`")
    )


def _migrations(made: Release, environment: Mapping[str, str]) -> Iterator[Line]:
    place = migrations.folder(made.service, made.declared)
    if place is None:
        yield without("migrations", "none: a deploy migrates nothing, and needs no database")
        return
    try:
        chain = source.schema_revisions(place)
    except BuildError as failure:
        yield missing("migrations", str(failure))
        return
    yield holds("migrations", f"{len(chain)} revisions, one head: {chain[-1]['id']}")
    silent = source.without_kind(place)
    yield (
        without(
            "kinds",
            f"{', '.join(silent[:5])} say no kind: they count as contract, and wait for fab migrate --contract",
        )
        if silent
        else holds("kinds", "each revision says expand or contract")
    )
    if "migrations" in made.declared:
        said = _ran([str(made.program("slipway-migrator")), "schema-head"], made, environment)
        yield (
            missing("migrator", f"it cannot read them: {said}")
            if said
            else holds("migrator", "it reads them in a release")
        )


def _programs(made: Release) -> Iterator[Line]:
    timers = made.said.timers or {}
    commands = {**(made.said.processes or {}), **{name: timer.command for name, timer in timers.items()}}
    for name, command in sorted(commands.items()):
        kind = "timer" if name in timers else "process"
        if not made.program(command[0]).is_file():
            yield missing(f"{kind} {name}", f"no package of the release installs the program {command[0]}")
        elif name in timers and (said := _calendar(timers[name].calendar)):
            yield missing(f"{kind} {name}", f"{timers[name].calendar!r} is no calendar: {said}")
        else:
            yield holds(f"{kind} {name}", f"`{' '.join(command)}`")


def _calendar(text: str) -> str:
    """What systemd finds wrong with it; nothing where there is no systemd to ask."""
    if shutil.which("systemd-analyze") is None:
        return ""
    done = subprocess.run(
        ["systemd-analyze", "calendar", text], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.stderr.strip() if done.returncode else ""


def _ran(words: list[str], made: Release, environment: Mapping[str, str]) -> str:
    """The last line of what a program said that failed; empty when it did not."""
    try:
        done = subprocess.run(
            words,
            env=dict(environment),
            cwd=made.folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"it had not ended after {SECONDS} s"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return (said[-1] if said else f"nothing, and ended with {done.returncode}") if done.returncode else ""
