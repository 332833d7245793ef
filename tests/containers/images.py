"""Images for tests: the base out of the lab's cache, and services as `fab image` makes them of a bundle."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from fabfile.bundle import archive
from fabfile.bundle.archive import Bundle
from fabfile.bundle.wheels import Target
from fabfile.images import building
from tests.containers.engine import ROOT, Engine
from tests.lab import cache, mirror
from tests.lab.commands import run

RECIPE = ROOT / "containers/base"
# Raise it to have newer packages in it.
EDITION = "1"
MEGABYTES = 400
TARGETS = (Target("3.10", "x86_64"), Target("3.11", "x86_64"))


@dataclass(frozen=True)
class Built:
    """name: of the image, with its tag."""

    name: str
    bundle: Bundle


def base(engine: Engine) -> str:
    """The base that `make image-base` makes, out of the lab's cache; its name."""
    recipe = [path.read_text() for path in sorted(RECIPE.iterdir())]
    key = cache.key(EDITION, *recipe)
    # The name with the key says which recipe is there under the other one.
    if engine.run("podman", "image", "exists", f"localhost/slipway-base:{key}").returncode:
        cache.ROOM.setdefault("bases", MEGABYTES)
        folder = cache.built("bases", key, _assemble)
        engine.podman("import", folder / "base.tar", building.BASE)
        engine.podman("tag", building.BASE, f"localhost/slipway-base:{key}")
    return building.BASE


def _assemble(folder: Path) -> None:
    run([RECIPE / "build", folder / "base.tar", *mirror.sources()], purpose="assemble the images' base")


def bundle(service: Path = ROOT / "service") -> Bundle:
    """A bundle of the files as they are."""
    return archive.build(service, output=ROOT / "build/bundles", targets=TARGETS, allow_dirty=True)


def build(engine: Engine, made: Bundle, *more: str) -> Built:
    """Runs fab image beside the engine."""
    base(engine)
    fab = [sys.executable, "-m", "fabfile", "image", "--json", f"--bundle={made.path}", *more]
    done = engine.run(*fab, folder=ROOT, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(json.loads(done.stdout)["name"], made)
