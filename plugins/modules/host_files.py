"""Compare a set of files with the host's, check the set as a whole, and write it. See DOCUMENTATION."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_files import (
    checks,
    compare,
    errors,
    guard,
    manifest,
    owners,
    proofs,
    standing,
    write,
)

DOCUMENTATION = r"""
---
module: host_files
short_description: States a named set of files, directories and links on a host
description:
  - The action plugin of the same name renders templates and calls this module with everything in one payload.
  - The whole set is compared, checked by the daemons' own checkers in a private view of C(/etc) that shows the
    new set in place, and only then written, each file by a rename. A failing check leaves the host as it was.
  - A set that C(has_handler) stays pending, and so changed, until the handler confirms it with C(in_force); a run
    that dies between the two is made up for by the next.
  - A file the set wrote earlier and no longer holds is removed, unless another service of the host has it too.
    Nothing else is ever removed.
  - What another service of the host has, a file with other lines or something that only one can have, is refused.
  - What a file held before Slipway first wrote it is kept once below C(/var/lib/slipway/originals).
options:
  payload:
    description: The set as base64 of zlib-compressed JSON, so that no content is logged.
    type: str
    required: true
author: Slipway
"""
EXAMPLES = r"""
- name: State nginx's files
  host_files:
    name: nginx
    trees: [etc/nginx]
    checks:
      - argv: [nginx, -t]
        needs: [/usr/sbin/nginx]
"""
RETURN = r"""
written: {description: paths whose content, owner or mode changed, type: list, returned: always}
removed: {description: paths of the set that are gone, type: list, returned: always}
kept: {description: copies of what somebody had edited and the run replaced or removed, type: list, returned: always}
renewed:
  description: watched paths, and files of another service of the host too, whose content changed since the last run
  type: list
  returned: always
unchecked: {description: why a check could not run yet, type: list, returned: always}
"""


def main() -> None:
    """Entry point; fails with a sentence and the checker's output when the set would not be accepted."""
    module = AnsibleModule(
        argument_spec={"payload": {"type": "str", "required": True, "no_log": True}},
        supports_check_mode=True,
    )
    wanted = json.loads(zlib.decompress(base64.b64decode(module.params["payload"])))
    # A folder made on the way to a file is for everyone to enter, whatever this host's default is.
    os.umask(0o022)
    try:
        with manifest.lock(module.check_mode):
            if not module.check_mode:
                manifest.take_over(wanted["app"])
            owners.refuse_another(wanted["app"])
            known = manifest.read(wanted["app"], wanted["name"])
            if wanted.get("decide"):
                result = decide(wanted, known)
            elif wanted["in_force"]:
                result = confirm(wanted, known, module.check_mode)
            else:
                result = state(wanted, known, module.check_mode)
        module.exit_json(**result)
    except errors.HostFilesError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename} could not be read or written: {error.strerror}. Each file is as it was or as it is "
            f"to be, and the set {wanted['name']} is not known to be whole: run again."
        )


def confirm(wanted: dict[str, Any], known: manifest.Manifest, check_mode: bool) -> dict[str, Any]:
    """Record that the daemon now runs with what was written."""
    if known.pending and not check_mode:
        manifest.write(wanted["app"], wanted["name"], dataclasses.replace(known, pending=False))
    return {"changed": known.pending}


def decide(wanted: dict[str, Any], known: manifest.Manifest) -> dict[str, Any]:
    """Let an armed set stay, or give back at once what stood before it; `stays` says which of both it came to."""
    token = wanted["decide"]["token"]
    if wanted["decide"]["take_back"]:
        return {"changed": guard.take_back(token), "stays": False}
    stays = guard.confirm(token)
    if stays:
        manifest.write(
            wanted["app"], wanted["name"], dataclasses.replace(known, pending=wanted["has_handler"])
        )
        write.forget_originals(wanted["decide"]["removed"])
    return {"changed": stays, "stays": stays}


def state(wanted: dict[str, Any], known: manifest.Manifest, check_mode: bool) -> dict[str, Any]:
    """Compare, check and write the set; the result says what changed and what could not be checked yet."""
    theirs = owners.others(wanted["app"])
    owners.refuse(wanted, theirs)
    told = proofs.told()
    # What another service of this host has in its record stays when this one wants it no more.
    alone = {path: digest for path, digest in known.files.items() if path not in theirs}
    difference = compare.difference(wanted, alone, check_mode)
    seen = manifest.watched(wanted["watch"])
    renewed = [path for path in wanted["watch"] if path in seen and known.watched.get(path) != seen[path]]
    if wanted["has_handler"]:
        renewed += _written_by_others(wanted, known, difference)
    token = _token(wanted, difference, known)
    if token and not check_mode:
        guard.refuse_beside(wanted["name"])
    unchecked = checks.run(wanted["checks"], difference) if difference.changed or renewed else []
    if unchecked and not check_mode:
        raise errors.HostFilesError(
            f"{' '.join(unchecked)} Nothing was changed on this host: files that nothing has checked do not go live. "
            "Run the playbooks that come before this one (site.yml runs all, in order)."
        )
    made_of = {entry["path"]: entry["made_of"] for entry in wanted["files"] if entry.get("made_of")}
    after = manifest.Manifest(
        manifest.digests(wanted["files"]), seen, False, standing.beside(wanted), made_of
    )
    after.pending = bool(token) or (
        wanted["has_handler"] and (difference.changed or bool(renewed) or known.pending)
    )
    kept: dict[str, str] = {}
    if not check_mode and (difference.changed or after != known or token):
        kept = _put_in_place(wanted, known, after, difference, token)
    diff = difference.as_diff()
    diff += [
        {"before_header": path, "before": "", "after": "renewed since the last run\n"} for path in renewed
    ]
    if known.pending and not diff:
        diff = [
            {
                "before_header": wanted["name"],
                "before": "written by an earlier run, not in force\n",
                "after": "",
            }
        ]
    return {
        "changed": difference.changed or bool(renewed) or known.pending,
        "armed": token if token and not check_mode else "",
        "written": [change.path for change in difference.changes],
        "removed": difference.removed,
        "renewed": renewed,
        "kept": sorted(kept.values()),
        "warnings": [
            f"{path} was not as Slipway had left it; what stood there is kept as {copy}."
            for path, copy in sorted(kept.items())
        ]
        + ([told] if told else []),
        "unchecked": unchecked,
        "diff": diff,
    }


def _written_by_others(
    wanted: dict[str, Any], known: manifest.Manifest, difference: compare.Difference
) -> list[str]:
    """Files that are as they are to be, but not as this set left them: another service's handler alone has seen it."""
    changing = {change.path for change in difference.changes}
    return [
        path
        for path, digest in manifest.digests(wanted["files"]).items()
        if path not in changing and known.files.get(path, digest) != digest
    ]


def _put_in_place(
    wanted: dict[str, Any],
    known: manifest.Manifest,
    after: manifest.Manifest,
    difference: compare.Difference,
    token: str,
) -> dict[str, str]:
    """Write what differs and its record, guarded when there is a token; {path: copy} of what somebody had edited."""
    app, name = wanted["app"], wanted["name"]
    theirs = owners.others(app)
    # Recorded before they are written, so that a run that dies in between leaves nothing unknown behind.
    during = dataclasses.replace(after, files={**after.files, **known.files}, watched=known.watched)
    linked = [change.path for change in difference.changes if change.kind == "link"]
    foreign = [path for path in [*after.files, *linked] if path not in {*known.files, *theirs}]
    made = [path for path in map(write.original, foreign) if not os.path.lexists(path)]
    write.keep_originals(foreign)
    kept = write.keep_edited(owners.left(known.files, theirs), difference)
    if token:
        changing = [change.path for change in difference.changes if change.kind != "directory"]
        paths = [*changing, *difference.removed, manifest.path_of(app, name)]
        guard.arm(app, name, token, paths, made, wanted["guard"].get("undo") or wanted["guard"]["apply"])
    with guard.given_back_unless_done(token):
        manifest.write(app, name, during)
        write.apply(difference)
        manifest.write(app, name, after)
        if token and (said := guard.apply(wanted["guard"]["apply"])):
            raise errors.HostFilesError(
                f"The set {name} could not be put in force: {said}. What stood before was given back."
            )
    if not token:
        write.forget_originals(difference.removed)
    return kept


def _token(wanted: dict[str, Any], difference: compare.Difference, known: manifest.Manifest) -> str:
    """The token of a change that has to be guarded; empty when nothing that lets somebody in changes."""
    asked = wanted.get("guard")
    if not asked:
        return ""
    below = tuple(f"{folder.rstrip('/')}/" for folder in asked.get("below") or ["/"])
    touched = [*(change.path for change in difference.changes), *difference.removed]
    unproven = known.pending and not wanted["has_handler"]
    return str(asked["token"]) if unproven or any(f"{path}/".startswith(below) for path in touched) else ""


if __name__ == "__main__":
    main()
