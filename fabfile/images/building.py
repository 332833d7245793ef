"""`fab image`: the tool that builds, and what it is told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fabfile.bundle.archive import Bundle
from fabfile.bundle.host_rules import Manifest
from fabfile.errors import BuildError, RefusedError
from fabfile.images import context

TOOLS = ("podman", "buildah", "docker")
BASE = "localhost/slipway-base:12"
# What moves is no base: an image by its digest, or one that was made here.
PINNED = re.compile(
    r"localhost/[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?|[^\s@]+@sha256:[0-9a-f]{64}"
)
SECONDS = 900.0
SHOWN_LINES = 15


@dataclass(frozen=True)
class Image:
    """name: with its tag, the release's id. id: the image's own, a digest of all that it says."""

    name: str
    id: str
    release: str
    bundle: str

    def as_json(self, sbom: str = "") -> str:
        return json.dumps({**asdict(self), **({"sbom": sbom} if sbom else {})})


def build(bundle: Bundle, base: str = BASE, tool: str = "", fresh: bool = False) -> Image:
    """Makes the image of a bundle. Raises RefusedError, BuildError.

    tool: one of TOOLS; the first that is here when not given. fresh: no layer of an earlier build is used.
    """
    check_base(base)
    chosen = find(tool)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        place = Path(scratch, "context")
        place.mkdir()
        manifest = context.write(bundle, place)
        name = f"localhost/{bundle.app}:{manifest.release}"
        said = Path(scratch, "id")
        words = command(chosen, base, name, labels(bundle, manifest), fresh)
        _run([*words, f"--iidfile={said}", str(place)], name)
        return Image(name, said.read_text().strip(), manifest.release, str(bundle.path))


def check_base(base: str) -> None:
    """Raises RefusedError for a base that may be another one tomorrow."""
    if not PINNED.fullmatch(base) or base.endswith(":latest"):
        raise RefusedError(
            f"The base {base!r} may be another image tomorrow: name it by its digest, as "
            "registry/python@sha256:…, or one of this machine's own, as localhost/slipway-base:12, which "
            "`make image-base` makes. Nothing was built."
        )


def find(tool: str) -> str:
    """The tool that builds. Raises RefusedError where there is none."""
    if tool and tool not in TOOLS:
        raise RefusedError(f"{tool!r} builds no image; {', '.join(TOOLS)} do. Nothing was built.")
    wanted = (tool,) if tool else TOOLS
    found = next((each for each in wanted if shutil.which(each)), None)
    if found is None:
        raise RefusedError(
            f"There is no {' and no '.join(wanted)} on this machine. apt-get install podman. Nothing was built."
        )
    return found


def labels(bundle: Bundle, manifest: Manifest) -> dict[str, str]:
    """What the image says of itself."""
    said = manifest.raw
    return {
        "org.slipway.app": bundle.app,
        "org.slipway.release": manifest.release,
        "org.slipway.git-sha": said["git_sha"],
        "org.slipway.bundle-sha256": bundle.sha256,
        "org.slipway.schema-head": manifest.schema_head or "",
        "org.opencontainers.image.title": bundle.app,
        "org.opencontainers.image.version": manifest.release,
        "org.opencontainers.image.revision": said["git_sha"],
        "org.opencontainers.image.created": said["built_at"],
    }


def command(tool: str, base: str, name: str, said: dict[str, str], fresh: bool = False) -> list[str]:
    """What the tool is told, but its context. Nothing is fetched, by it or in a layer."""
    words = {"podman": ["podman", "build"], "buildah": ["buildah", "build"], "docker": ["docker", "build"]}[
        tool
    ]
    if tool != "docker":
        # In the other format there is no health check.
        words += ["--format=docker", f"--timestamp={context.TIME}", "--layers", "--pull=never"]
    words += [
        "--network=none",
        f"--build-arg=BASE={base}",
        f"--file={context.CONTAINERFILE}",
        f"--tag={name}",
    ]
    words += [f"--label={key}={value}" for key, value in sorted(said.items())]
    return words + (["--no-cache"] if fresh else [])


def _run(words: Sequence[str], name: str) -> None:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{words[0]} was not done with {name} after {SECONDS:g} s, and was ended.") from None
    if done.returncode:
        shown = "\n".join(
            f"  {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-SHOWN_LINES:]
        )
        raise BuildError(f"{words[0]} could not build {name}; no image has that name. It said:\n{shown}")
