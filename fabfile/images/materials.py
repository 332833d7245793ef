"""What an image is made of, as CycloneDX 1.5 has it: the service, what its lock pins, and the base's packages.

It is read out of the image itself, so that what is listed is what is there; checksums are those of the bundle's wheels.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name, parse_wheel_filename

from fabfile.bundle.archive import Bundle, manifest_of
from fabfile.errors import BuildError

SECONDS = 60.0
PYTHON = "/srv/release/venv/bin/python"
# Run in the image: which distributions its Python has, and what dpkg says that it installed.
LOOKING = """\
import json, platform
from importlib import metadata
found = [[each.metadata["Name"], each.version] for each in metadata.distributions()]
try:
    with open("/var/lib/dpkg/status", encoding="utf-8") as stream:
        packages = stream.read()
except FileNotFoundError:
    packages = ""
print(json.dumps({"python": found, "packages": packages, "system": platform.freedesktop_os_release()}))
"""


def write(bundle: Bundle, image: str, tool: str) -> Path:
    """Writes the list beside the bundle and returns its path. Raises BuildError where the image cannot be read."""
    found = _look(image, tool)
    path = bundle.path.with_name(f"{bundle.app}-{bundle.release}.cdx.json")
    path.write_text(json.dumps(bill(bundle, found), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def bill(bundle: Bundle, found: Mapping[str, Any]) -> dict[str, Any]:
    """found: what LOOKING printed."""
    manifest = manifest_of(bundle.path)
    service = {
        "type": "application",
        "bom-ref": bundle.app,
        "name": bundle.app,
        "version": bundle.release,
        "hashes": [{"alg": "SHA-256", "content": bundle.sha256}],
    }
    components = [*_pinned(bundle.app, manifest, found["python"]), *_packages(found)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, bundle.sha256)}",
        "version": 1,
        "metadata": {"timestamp": manifest["built_at"], "component": service},
        "components": components,
        "dependencies": [{"ref": bundle.app, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _pinned(
    app: str, manifest: Mapping[str, Any], installed: Iterable[Sequence[str]]
) -> Iterable[dict[str, Any]]:
    hashes: dict[tuple[str, str], list[dict[str, str]]] = {}
    for path, entry in manifest["files"].items():
        if path.endswith(".whl"):
            wheel = parse_wheel_filename(path.rpartition("/")[2])
            each = {"alg": "SHA-256", "content": entry["sha256"]}
            hashes.setdefault((str(wheel[0]), str(wheel[1])), []).append(each)
    for name, version in sorted((str(canonicalize_name(name)), str(version)) for name, version in installed):
        if name != canonicalize_name(app):
            part = _component(name, version, f"pkg:pypi/{name}@{quote(version)}")
            yield {**part, "hashes": hashes.get((name, version), [])}


def _packages(found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    system = found["system"]
    distribution = f"{system.get('ID', 'linux')}-{system.get('VERSION_ID', '')}"
    for paragraph in found["packages"].split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " "
        )
        if fields.get("Status", "").endswith(" installed"):
            name, version, machine = fields["Package"], fields["Version"], fields["Architecture"]
            where = f"pkg:deb/{system.get('ID', 'debian')}/{quote(name)}@{quote(version)}"
            yield _component(name, version, f"{where}?arch={machine}&distro={distribution}")


def _component(name: str, version: str, place: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": place, "name": name, "version": version, "purl": place}


def _look(image: str, tool: str) -> dict[str, Any]:
    words = [tool, "run", "--rm", "--network=none", "--read-only", "--cap-drop=all", f"--entrypoint={PYTHON}"]
    try:
        done = subprocess.run(
            [*words, image, "-I", "-c", LOOKING], capture_output=True, text=True, timeout=SECONDS
        )
        return dict(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError) as failure:
        raise BuildError(
            f"{image} was built, but what it is made of could not be read: {failure}. To try again: fab image --sbom"
        ) from None
