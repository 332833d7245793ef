"""The service's source as git has it: which commit, what was changed since, and the files themselves."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fabfile.errors import BuildError

# What Alembic takes, and its table's column holds.
REVISION_ID = re.compile(r"[A-Za-z0-9_.]{1,32}")


@dataclass(frozen=True)
class Commit:
    """sha: 40 digits. committed_at: UTC. branch: None when the ref is not a branch. author: the name alone."""

    sha: str
    committed_at: datetime
    branch: str | None
    author: str


def is_in_git(service: Path) -> bool:
    return _run_git(service, "rev-parse", "--git-dir").returncode == 0


def commit(service: Path, ref: str = "HEAD") -> Commit:
    """The commit that ref names in the repository of service."""
    found = _run_git(service, "rev-parse", "--git-dir")
    if found.returncode:
        raise BuildError(
            f"{service} is not in a git repository, and a release is named after its commit. "
            f"Build in a clone of the repository. git said: {found.stderr.strip()}"
        )
    shown = _git(service, "show", "--no-patch", "--format=%H %ct %an", f"{ref}^{{commit}}")
    if shown is None:
        missing = "the repository has no commit yet" if ref == "HEAD" else f"git knows no commit {ref!r}"
        raise BuildError(f"Cannot build a release: {missing}. Commit first, or name a commit with --ref.")
    sha, seconds, author = shown.strip().split(" ", 2)
    branch = _git(service, "rev-parse", "--symbolic-full-name", "--abbrev-ref", ref)
    named = branch.strip() if branch else ""
    return Commit(
        sha, datetime.fromtimestamp(int(seconds), UTC), named if named not in ("", "HEAD") else None, author
    )


def changes(service: Path) -> list[str]:
    """The files under service that differ from the last commit, new ones included."""
    listed = _git(service, "status", "--porcelain", "--untracked-files=all", "--", ".")
    return [line[3:] for line in (listed or "").splitlines()]


def export(service: Path, source: Commit, destination: Path) -> None:
    """Writes service as the commit has it into destination, a new directory."""
    _unpack(service, source.sha, destination, f"Commit {source.sha[:7]} has no {service.name}/")


def tree(folder: Path, name: str) -> str | None:
    """The id of a folder's files in git, by a name such as HEAD:./folder; None when git has none."""
    found = _git(folder, "rev-parse", "--verify", "--quiet", name)
    return found.strip() if found else None


def export_tree(repository: Path, name: str, destination: Path) -> None:
    """Writes the files of a tree into destination, a new directory."""
    top = (_git(repository, "rev-parse", "--show-toplevel") or str(repository)).strip()
    _unpack(Path(top), name, destination, f"The files {name[:7]} cannot be read")


def _unpack(folder: Path, name: str, destination: Path, complaint: str) -> None:
    archive = subprocess.run(["git", "-C", str(folder), "archive", "--format=tar", name], capture_output=True)
    if archive.returncode:
        raise BuildError(f"{complaint}: {archive.stderr.decode('utf-8', 'replace').strip()}")
    destination.mkdir(parents=True, exist_ok=True)
    # Not tarfile: the filter that keeps members inside came with 3.11.4, and Debian 12 has 3.11.2.
    unpacked = subprocess.run(
        ["tar", "--extract", "--no-same-owner", "-C", str(destination)],
        input=archive.stdout,
        capture_output=True,
    )
    if unpacked.returncode:
        said = unpacked.stderr.decode("utf-8", "replace").strip()
        raise BuildError(f"{name[:7]} could not be unpacked into {destination}: {said}")


def copy_changed(service: Path, destination: Path) -> None:
    """Writes service as it is now, without what git ignores, into destination, a new directory."""
    listed = _git(service, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    for name in filter(None, (listed or "").split("\0")):
        if (service / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(service / name, destination / name)


def _git(directory: Path, *arguments: str) -> str | None:
    """The output of a git command, or None when it failed."""
    done = _run_git(directory, *arguments)
    return done.stdout if done.returncode == 0 else None


def _run_git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise BuildError("git is not installed, and a release is named after its commit.") from None


def schema_revisions(migrations: Path) -> list[dict[str, str]]:
    """The alembic revisions, oldest first, each with its id, kind and title, read without running them."""
    folder = migrations / "versions"
    parents: dict[str, set[str]] = {}
    facts: dict[str, dict[str, str]] = {}
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.py")):
        names = _module_values(path)
        title = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        for revision in _texts(names.get("revision"), path):
            if not REVISION_ID.fullmatch(revision):
                raise BuildError(
                    f"{path} has the revision id {revision!r}; the database keeps 32 letters, digits, _ and . of it at "
                    "most. Give it such an id, and whatever follows it the same as its down_revision."
                )
            if revision in files:
                raise BuildError(
                    f"{path} and {files[revision]} have the same revision id {revision}. Give one of them another."
                )
            files[revision] = path
            parents[revision] = _texts(names.get("down_revision"), path)
            kind = _kind(names, path) or "contract"
            facts[revision] = {"id": revision, "kind": kind, "title": title}
    ordered: list[str] = []

    def visit(revision: str) -> None:
        for parent in sorted(parents[revision]):
            visit(parent)
        if revision not in ordered:
            ordered.append(revision)

    visit(_head(folder, parents))
    return [facts[revision] for revision in ordered]


def without_kind(migrations: Path) -> list[str]:
    """The names of the files whose revisions say no kind."""
    return [
        path.name
        for path in sorted((migrations / "versions").glob("*.py"))
        if "revision" in (names := _module_values(path)) and not _kind(names, path)
    ]


def _kind(names: dict[str, ast.expr], path: Path) -> str:
    return "".join(_texts(names.get("kind"), path))


def _head(folder: Path, parents: dict[str, set[str]]) -> str:
    """The one revision that no other follows."""
    unknown = set().union(*parents.values()) - parents.keys() if parents else set()
    if unknown:
        raise BuildError(f"A migration in {folder} follows {', '.join(sorted(unknown))}, which is not there.")
    heads = sorted(parents.keys() - set().union(*parents.values())) if parents else []
    if len(heads) != 1:
        found = f"{len(heads)} heads ({', '.join(heads)})" if heads else "no migration"
        raise BuildError(
            f"{folder} has {found}; a release needs exactly one schema head. "
            "Type: alembic heads; then give the younger revision the older one as its down_revision."
        )
    return heads[0]


def _module_values(path: Path) -> dict[str, ast.expr]:
    values: dict[str, ast.expr] = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                values |= {
                    name.id: value for name, value in _pairs(target, node.value) if isinstance(name, ast.Name)
                }
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            values[node.target.id] = node.value
    return values


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """What is assigned, each with its value; of `a, b = made()` each has all of it."""
    if not isinstance(target, ast.Tuple):
        return [(target, value)]
    if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(name, value) for name in target.elts]


def _texts(value: ast.expr | None, path: Path) -> set[str]:
    """The revision, revisions or none that an assignment gives."""
    try:
        literal = ast.literal_eval(value) if value is not None else None
    except ValueError:
        raise BuildError(f"{path} computes its revision; write it as a plain string.") from None
    if literal is None:
        return set()
    return {literal} if isinstance(literal, str) else set(literal)
