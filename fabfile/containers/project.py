"""The compose project in containers/: its files, its images, and what each of its containers is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabfile import schema
from fabfile.containers import engine
from fabfile.containers.engine import CommandError
from fabfile.errors import RefusedError

# SLIPWAY_CONTAINERS: another folder with the same files, and with secrets of its own.
FOLDER = Path(os.environ.get("SLIPWAY_CONTAINERS") or Path(__file__).parents[2] / "containers")
FILE = "compose.production.yaml"
# The service's containers, and the group of whoever runs in one.
SLOTS = ("api-1", "api-2")
GROUP = 10001
SECRETS = ("secret_key", "database_password", "migrate_database_password")
MANIFEST = "/srv/release/manifest.json"
HEALTH = "/health/ready"


@dataclass(frozen=True)
class Image:
    """A release's. name: what the engine knows it by. manifest: the bundle's."""

    name: str
    app: str
    release: str
    manifest: dict[str, Any] = field(repr=False)

    @property
    def head(self) -> str | None:
        return self.manifest.get("schema_head")

    @property
    def chain(self) -> list[schema.Revision]:
        return schema.of_manifest(self.manifest)

    @property
    def health(self) -> str:
        return str((self.manifest.get("service") or {}).get("health") or HEALTH)


@dataclass(frozen=True)
class Slot:
    """A container of the service. image, release: "" of one that is not there. open: the edge sends requests to it."""

    name: str
    image: str = ""
    release: str = ""
    status: int = 0
    open: bool = False
    schema: str | None = None

    @property
    def serves(self) -> bool:
        return self.open and self.status == 200


class Project:
    """folder: where the compose file is, and .env beside it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder, self.variables, self.state = folder, folder / ".env", folder / "state"
        self._composer = engine.composer()
        self._engine = engine.engine()

    def settings(self) -> dict[str, str]:
        """What .env says, by name. Raises RefusedError when it is not there."""
        try:
            text = self.variables.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RefusedError(
                f"{self.variables} is not there: make secrets INVENTORY=inventory/compose writes it, and all else "
                "that the containers are given. Nothing was changed."
            ) from None
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def keep(self, image: Image) -> None:
        """What `docker-compose up` starts from now on."""
        kept = [line for line in self.variables.read_text(encoding="utf-8").splitlines()
                if not line.startswith(("SLIPWAY_IMAGE=", "SLIPWAY_HEALTH="))]  # fmt: skip
        new = self.variables.with_name(".env.new")
        new.write_text(
            "\n".join([*kept, f"SLIPWAY_IMAGE={image.name}", f"SLIPWAY_HEALTH={image.health}", ""])
        )
        new.replace(self.variables)

    def complaints(self) -> list[str]:
        """What is wrong with the secrets' files: compose hands on owner and mode as they are."""
        found = []
        for name in SECRETS:
            path = self.state / "secrets" / name
            try:
                seen = path.stat()
            except FileNotFoundError:
                found.append(f"{path} is not there")
                continue
            if seen.st_gid != GROUP or seen.st_mode & 0o777 != 0o440 or seen.st_uid != 0:
                found.append(
                    f"{path} has owner {seen.st_uid}:{seen.st_gid} and mode {seen.st_mode & 0o777:04o}, "
                    f"not 0:{GROUP} and 0440"
                )
            elif not seen.st_size:
                found.append(f"{path} is empty")
        return found

    def compose(
        self, *words: str, image: Image | None = None, tell: Callable[[str], None] | None = None
    ) -> str:
        """What docker-compose prints. image: of the service's containers, instead of the one that is kept."""
        given = {"SLIPWAY_IMAGE": image.name, "SLIPWAY_HEALTH": image.health} if image else {}
        where = ["--file", str(self.folder / FILE), "--project-directory", str(self.folder)]
        return engine.run([*self._composer, *where, *words], given, tell)

    def run(self, *words: str) -> str:
        """What docker or podman prints."""
        return engine.run([self._engine, *words])

    def image(self, name: str) -> Image:
        """An image of a release. Raises RefusedError."""
        try:
            (said,) = json.loads(self.run("image", "inspect", name))
            labels = (said.get("Config") or {}).get("Labels") or {}
            release, app = str(labels["org.slipway.release"]), str(labels["org.slipway.app"])
            words = ["run", "--rm", "--network=none", "--read-only", "--entrypoint=cat"]
            manifest = json.loads(self.run(*words, name, MANIFEST))
        except KeyError as missing:
            raise RefusedError(
                f"{name} is no release's image: it has no label {missing}. fab image makes one. Nothing was changed."
            ) from None
        except (CommandError, ValueError) as failure:
            raise RefusedError(f"The image {name} cannot be used: {failure} Nothing was changed.") from None
        wanted = self.settings().get("SLIPWAY_APP")
        if app != wanted:
            raise RefusedError(f"{name} is an image of {app}, and this is {wanted}. Nothing was changed.")
        return Image(name, app, release, dict(manifest))

    def images(self) -> list[str]:
        """The names of the service's images here, the newest release first."""
        app = self.settings().get("SLIPWAY_APP", "")
        listed = self.run(
            "images", f"--filter=label=org.slipway.app={app}", "--format={{.Repository}}:{{.Tag}}"
        )
        names = {name for name in listed.split() if not name.endswith(":<none>") and name != "<none>:<none>"}
        return sorted(names, key=lambda name: name.rpartition(":")[2], reverse=True)

    def load(self, archive: Path) -> None:
        """Take up images that `podman save` or `docker save` wrote. Raises RefusedError."""
        try:
            self.run("load", "--input", str(archive))
        except CommandError as failure:
            raise RefusedError(
                f"{archive} holds no image that could be loaded: {failure} Nothing was changed."
            ) from None

    def slot(self, name: str, helper: Image | None) -> Slot:
        """What a container is now. helper: an image to ask its socket with."""
        ids = self.compose("ps", "--all", "--quiet", name, image=helper).split()
        if not ids:
            return Slot(name)
        (said,) = json.loads(self.run("inspect", "--type=container", ids[0]))
        config = said["Config"]
        release = str((config.get("Labels") or {}).get("org.slipway.release", ""))
        answer = engine.parsed(self.traffic("ask", name, image=helper)) or {}
        body = engine.parsed(str(answer.get("body", "")).replace("\n", " ")) or {}
        return Slot(name, str(config["Image"]), release, int(answer.get("status", 0)), bool(answer.get("open")),
                    body.get("schema_applied"))  # fmt: skip

    def traffic(self, *words: str, image: Image | None = None) -> str:
        """What containers/traffic.py says, run beside the sockets. Raises CommandError.

        Its last line says how it ended: over podman's socket docker-compose run ends with 0 in any case.
        """
        said = self.compose("run", "--rm", "--no-deps", "-T", "traffic", *words, image=image)
        found = engine.parsed(said)
        if not found or found.get("complaint"):
            raise CommandError(
                (found or {}).get("complaint") or f"traffic {' '.join(words)} did not come to its end: {said}"
            )
        return said


def who() -> str:
    """Whose turn it is, in words."""
    return f"{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}, process {os.getpid()}"
