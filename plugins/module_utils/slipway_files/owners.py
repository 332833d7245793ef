"""What several services of a host have in common: a file that each wants the same, and what only one can have."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible.module_utils.slipway_files import manifest
from ansible.module_utils.slipway_files.errors import HostFilesError


@dataclasses.dataclass(frozen=True)
class Owner:
    """A service whose record has a path. digest: of what it last wanted there. source: of the template."""

    app: str
    digest: str
    source: str


def others(app: str) -> dict[str, list[Owner]]:
    """{path: who else has it in the record}: files and links of the other services of this host."""
    found: dict[str, list[Owner]] = {}
    for other in manifest.services():
        if other == app:
            continue
        for record in (manifest.read(other, name) for name in manifest.names(other)):
            links = (record.beside or {}).get("links", [])
            for path, digest in {**dict.fromkeys(links, ""), **record.files}.items():
                found.setdefault(path, []).append(Owner(other, digest, record.sources.get(path, "")))
    return found


def left(files: dict[str, str], theirs: dict[str, list[Owner]]) -> dict[str, set[str]]:
    """{path of a service's record: the digests that some service left there}."""
    return {
        path: {digest, *(owner.digest for owner in theirs.get(path, []))} for path, digest in files.items()
    }


def claims(app: str) -> dict[str, dict[str, str]]:
    """{another service: {what only one can have: the variable by which the service has it}}."""
    found: dict[str, dict[str, str]] = {}
    for other in manifest.services():
        if other != app:
            records = (manifest.read(other, name).beside or {} for name in manifest.names(other))
            found[other] = {
                what: variable for record in records for what, variable in record.get("claims", [])
            }
    return found


def refuse_another(app: str) -> None:
    """Raise HostFilesError where an earlier Slipway, which knew one service a host, wrote for another one."""
    before = manifest.configured_before()
    if before not in (None, "", app):
        raise HostFilesError(
            f"An earlier Slipway, which knew one service a host, configured this one for {before}, and not for {app}. "
            f"Nothing was changed. Run site.yml with the inventory of {before} first."
        )


def refuse(wanted: dict[str, Any], theirs: dict[str, list[Owner]]) -> None:
    """Raise HostFilesError for what another service has: a claim, or a file of which it wants other lines.

    Where the templates differ, and not what they were given, another version of Slipway wrote the file: the newest
    run's is as good for both.
    """
    app, digests = wanted["app"], manifest.digests(wanted["files"])
    for other, had in claims(app).items():
        for what in wanted["claims"]:
            if what in had:
                raise HostFilesError(
                    f"{what} of this host is {other}'s, another service: set {had[what]} to something else in one of "
                    f"the two inventories. Nothing of the set {wanted['name']} was changed."
                )
    for entry in wanted["files"]:
        owners = theirs.get(entry["path"], [])
        # A service may have a file in two of its sets, the one of its first run as that run left it.
        agreed = {owner.app for owner in owners if owner.digest == digests[entry["path"]]}
        for owner in owners:
            if owner.app not in agreed and owner.source == entry.get("made_of", ""):
                said = ", ".join(entry.get("variables", [])) or f"what the role {wanted['name']} writes there"
                raise HostFilesError(
                    f"{entry['path']} is one file for all services of this host, and {app} and {owner.app} want "
                    f"different lines of it: make the same in both inventories what it says ({said}). Nothing of the "
                    f"set {wanted['name']} was changed."
                )
