"""What runs beside the service, as `make image-parts` assembles it, out of the lab's cache."""

from __future__ import annotations

from pathlib import Path

from tests.containers.engine import ROOT, Engine
from tests.lab import archive, cache, mirror
from tests.lab.commands import run

RECIPE = ROOT / "containers/parts/build"
NAMES = {
    "nginx": "localhost/slipway-nginx:bookworm",
    "postgresql": "localhost/slipway-postgresql:14",
    "redis": "localhost/slipway-redis:bookworm",
}
# Raise it to have newer packages in them.
EDITION = "1"
MEGABYTES = 1200


def sources(part: str) -> list[str]:
    """Lines of apt's: this machine's Debian, and for PostgreSQL 14 the lab's own archive."""
    if part != "postgresql":
        return mirror.sources()
    return [*mirror.sources(), archive.source()]


def assembled(part: str) -> Path:
    """The archive of one, in the cache; its folder's name says of which recipe it is."""
    cache.ROOM.setdefault("parts", MEGABYTES)

    def assemble(folder: Path) -> None:
        run([RECIPE, part, folder / "part.tar", *sources(part)], purpose=f"assemble the image of {part}")

    key = cache.key(EDITION, part, RECIPE.read_text())
    return cache.built("parts", f"{part}-{key}", assemble) / "part.tar"


def load(engine: Engine) -> None:
    """Give the engine all of them, under their names."""
    for part, name in NAMES.items():
        archived = assembled(part)
        known = f"localhost/slipway-{archived.parent.name.replace('-', ':')}"
        if engine.run("podman", "image", "exists", known).returncode:
            engine.podman("import", archived, name)
            engine.podman("tag", name, known)
