"""The lab's own apt archive: PostgreSQL 14 for Debian 12, packaged as Debian packages its own versions."""

import gzip
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, postgresql
from tests.lab.commands import ARCHIVE_NEEDS, require, run

SUITE = "bookworm-lab"
VERSION = "14"
RECIPES = (Path(__file__).parent / "postgresql-14", Path(__file__).parent / "postgresql-client-14")
# Raise it when the way the packages are built changes, but not their maintainer scripts.
EDITION = "2"

CLIENT_PROGRAMS = (
    "clusterdb", "createdb", "createuser", "dropdb", "dropuser", "pg_basebackup", "pg_dump", "pg_dumpall",
    "pg_isready", "pg_receivewal", "pg_recvlogical", "pg_restore", "pgbench", "psql", "reindexdb", "vacuumdb",
)  # fmt: skip
# Debian has these in packages of their own, and their interpreters' libraries are not among the binaries.
LANGUAGES = ("*plperl*", "*plpython*", "*pltcl*")


@dataclass(frozen=True)
class Archive:
    """The folder of the apt archive, the key it is signed with, and the server's programs, usable from there."""

    repository: Path
    key: Path
    programs: Path


def ensure() -> Archive:
    """Return the archive, built first when this machine has none."""
    require(ARCHIVE_NEEDS)
    postgresql.require_amd64(VERSION)
    binaries = postgresql.BINARIES[VERSION]
    recipe = [path.read_text() for folder in RECIPES for path in sorted(folder.iterdir())]
    folder = cache.built(
        "archive", cache.key(EDITION, SUITE, binaries.package, binaries.sha512, *recipe), build
    )
    return Archive(
        folder / "repository",
        folder / "archive-key.asc",
        folder / "postgresql-14" / "usr/lib/postgresql/14/bin",
    )


def source() -> str:
    """Return the archive as a line of apt's sources, for whoever is on this machine."""
    found = ensure()
    return f"deb [signed-by={found.key}] copy:{found.repository} {SUITE} main"


def build(folder: Path) -> None:
    """Build the archive into an empty folder: binaries to packages, packages to a signed repository."""
    server, client = folder / "postgresql-14", folder / "postgresql-client-14"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        lay_out_server(postgresql.download(VERSION, Path(scratch)), server)
    lay_out_client(client)
    pool = folder / "repository" / "pool"
    pool.mkdir(parents=True)
    for tree, recipe in zip((server, client), RECIPES, strict=True):
        pack(tree, files_of(recipe), pool)
    sign(index(folder / "repository", SUITE), folder / "archive-key.asc")


def files_of(recipe: Path) -> dict[str, str]:
    """Return a package's control file and maintainer scripts by name."""
    return {path.name: path.read_text() for path in sorted(recipe.iterdir())}


def lay_out_server(unpacked: Path, tree: Path, major: str = VERSION) -> None:
    """Place the binaries where Debian's postgresql-common expects those of a version."""
    version = tree / f"usr/lib/postgresql/{major}"
    shared = tree / f"usr/share/postgresql/{major}"
    native = unpacked / "native"
    shutil.copytree(native / "bin", version / "bin")
    ignored = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs", *LANGUAGES)
    shutil.copytree(native / "lib", version / "lib", symlinks=True, ignore=ignored)
    shutil.copytree(native / "share/postgresql", shared, ignore=shutil.ignore_patterns(*LANGUAGES))
    # The server looks for these files beside its own programs, Debian's tools look in /usr/share.
    (version / "share").mkdir()
    (version / "share/postgresql").symlink_to(f"../../../../share/postgresql/{major}")
    licence = tree / f"usr/share/doc/postgresql-{major}/copyright"
    licence.parent.mkdir(parents=True)
    shutil.copy(unpacked / "LICENSE.md", licence)


def lay_out_client(tree: Path) -> None:
    """Place links to version 15's client programs under version 14's name."""
    programs = tree / "usr/lib/postgresql/14/bin"
    programs.mkdir(parents=True)
    for program in CLIENT_PROGRAMS:
        (programs / program).symlink_to(f"../../15/bin/{program}")


def pack(tree: Path, recipe: dict[str, str], pool: Path) -> None:
    """Build a .deb in the pool from a tree of files, its control file and its maintainer scripts."""
    with tempfile.TemporaryDirectory(dir=pool.parent) as scratch:
        staged = Path(scratch) / "package"
        shutil.copytree(tree, staged, symlinks=True)
        (staged / "DEBIAN").mkdir()
        for name, text in recipe.items():
            (staged / "DEBIAN" / name).write_text(text)
        for path in staged.rglob("*"):
            if not path.is_symlink():
                programs = path.is_dir() or (path.parent.name in ("bin", "DEBIAN") and path.name != "control")
                path.chmod(0o755 if programs else 0o644)
        staged.chmod(0o755)
        run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", staged, pool],
            purpose=f"pack {tree.name}",
        )


def index(repository: Path, suite: str) -> Path:
    """Write the repository's indexes; return the folder of its Release file."""
    release = repository / "dists" / suite
    packages = release / "main" / "binary-amd64" / "Packages"
    packages.parent.mkdir(parents=True)
    listing = run(["apt-ftparchive", "packages", "pool"], purpose="index the packages", cwd=repository)
    packages.write_text(listing)
    packages.with_suffix(".gz").write_bytes(gzip.compress(listing.encode(), mtime=0))
    fields = {
        "Origin": "Slipway lab",
        "Label": "Slipway lab",
        "Suite": suite,
        "Codename": suite,
        "Architectures": "amd64",
        "Components": "main",
    }
    options = [
        part for name, value in fields.items() for part in ("-o", f"APT::FTPArchive::Release::{name}={value}")
    ]
    text = run(["apt-ftparchive", *options, "release", release], purpose="index the archive")
    (release / "Release").write_text(text)
    return release


def sign(release: Path, public: Path) -> None:
    """Sign a Release file with the lab's key, made on first use and kept in the cache; write its public half."""
    secret = cache.folder() / "archive-key.secret"
    # Short, because gpg's agent listens on a socket in it, and fixed, so that what a killed build left is found.
    home = Path(tempfile.gettempdir()) / f"slipway-lab-gpg-{os.geteuid()}"
    environment = {"GNUPGHOME": str(home)}
    gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    forget(home)
    home.mkdir(mode=0o700)
    try:
        if not secret.exists():
            make_key(gpg, environment, secret)
        run([*gpg, "--import", secret], purpose="load the archive's key", environment=environment)
        public.write_text(
            run([*gpg, "--armor", "--export"], purpose="export the key", environment=environment)
        )
        for option, target in (("--clear-sign", "InRelease"), ("--detach-sign", "Release.gpg")):
            run(
                [*gpg, "--armor", option, "--output", release / target, release / "Release"],
                purpose="sign the archive",
                environment=environment,
            )
    finally:
        forget(home)


def forget(home: Path) -> None:
    """End gpg's agent for a home and delete it, when there is one."""
    if home.exists():
        run(["gpgconf", "--kill", "all"], purpose="end gpg's agent", environment={"GNUPGHOME": str(home)})
        shutil.rmtree(home)


def make_key(gpg: list[str], environment: dict[str, str], secret: Path) -> None:
    """Generate the archive's key and keep it, readable by its owner alone."""
    user = "Slipway lab archive <lab@localhost>"
    run(
        [*gpg, "--quick-generate-key", user, "ed25519", "sign", "never"],
        purpose="make the archive's key",
        environment=environment,
    )
    text = run(
        [*gpg, "--armor", "--export-secret-keys"], purpose="keep the archive's key", environment=environment
    )
    partial = secret.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(secret)
