"""Say what waits for a patch on a host, install it, or start anew who runs what was replaced. See DOCUMENTATION."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_files import manifest
from ansible.module_utils.slipway_host import programs
from ansible.module_utils.slipway_updates import installing, libraries, restarting, waiting

DOCUMENTATION = r"""
---
module: host_updates
short_description: Says what waits for a patch, installs it, starts anew who runs what was replaced
description:
  - With C(seen) it says what apt offers, what is held, who runs replaced libraries, and what waits for a reboot.
  - With C(installed) it installs the packages that are named, in a unit of the host's own, which nobody has to watch;
    files that somebody changed stay. One that is under way is waited for, and what dpkg left unfinished is finished.
  - With C(restarted) it starts anew whom nobody waits for, and has nginx change its program in place.
options:
  state: {description: what is wanted, type: str, choices: [seen, installed, restarted], default: seen}
  app: {description: the name of the service, type: str, required: true}
  refresh: {description: fetch the package lists first, type: bool, default: false}
  apart: {description: an expression for the packages that come in a window alone, type: str, default: ''}
  packages: {description: what to install, type: list, elements: str, default: []}
  window: {description: whether what comes in a window alone may be installed, type: bool, default: false}
  edge: {description: whether customers come in by its nginx, type: bool, default: false}
  lock_timeout: {description: seconds to wait for dpkg's lock, type: int, default: 600}
  seconds: {description: how long an installation may take, type: int, default: 3600}
author: Slipway
"""
EXAMPLES = r"""
- name: See what waits
  host_updates: {app: notes, refresh: true}
"""
RETURN = r"""
updates: {description: 'name, before, after, origin of each package', type: list, returned: seen}
apart: {description: the same of what comes in a window alone, type: list, returned: seen}
held: {description: names that are held or kept back, type: list, returned: seen}
reboot: {description: for which packages a reboot is asked for, type: list, returned: seen}
kernel: {description: the newest kernel where another one runs, type: str, returned: seen}
stale: {description: 'units that run what was replaced, by how they are started anew', type: dict, returned: seen}
files: {description: what was replaced under them, type: list, returned: seen}
unfinished: {description: packages that dpkg began and did not finish, type: list, returned: seen}
bytes: {description: what there is to fetch, type: int, returned: seen}
services: {description: other services of this host, type: list, returned: seen}
restarted: {description: what was started anew, type: list, returned: restarted}
waited: {description: whether an installation was under way, type: bool, returned: installed}
"""
AT_WORK_SECONDS = 300
NAME = re.compile(r"[a-z0-9][a-z0-9.+-]+(:[a-z0-9]+)?")


def main() -> None:
    """Entry point; an error is a sentence with the host's state."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["seen", "installed", "restarted"], "default": "seen"},
            "app": {"type": "str", "required": True},
            "refresh": {"type": "bool", "default": False},
            "apart": {"type": "str", "default": ""},
            "packages": {"type": "list", "elements": "str", "default": []},
            "window": {"type": "bool", "default": False},
            "edge": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 600},
            "seconds": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    done = {"seen": seen, "installed": installed, "restarted": restarted}[module.params["state"]]
    try:
        module.exit_json(**done(module.params, module.check_mode))
    except waiting.AptError as failure:
        module.fail_json(msg=f"apt does not say what waits: {failure}. Nothing was changed.")
    except (installing.InstallError, restarting.RestartError) as failure:
        module.fail_json(msg=str(failure))


def seen(given: dict[str, Any], checks: bool = False) -> dict[str, Any]:
    """What waits."""
    # Of a controller that died: what it began goes on, and half of it is no state to judge.
    installing.wait_for_another(AT_WORK_SECONDS)
    if given["refresh"]:
        waiting.refresh(given["lock_timeout"])
    _, unfinished = programs.packages()
    # apt answers nobody who asks it to go on from there: what waits beside it is seen when it is finished.
    simulated = waiting.simulated() if not unfinished or programs.dpkg_works() else ""
    found = waiting.updates(simulated)
    apart = re.compile(given["apart"]) if given["apart"] else None
    ours = [row for row in found if not (apart and apart.match(row["name"]))]
    stale = libraries.stale()
    named = [row["name"] for row in found if row["before"]]
    return {
        "changed": False,
        "updates": ours,
        "apart": [row for row in found if row not in ours],
        "held": waiting.kept_back(simulated),
        "reboot": waiting.reboot(),
        "kernel": waiting.other_kernel(),
        "stale": restarting.sorted_out(stale, given["app"]),
        "files": sorted({path for files in stale.values() for path in files}),
        "unfinished": unfinished,
        "bytes": waiting.bytes_to_fetch(named),
        "services": [name for name in manifest.services() if name != given["app"]],
    }


def installed(given: dict[str, Any], checks: bool) -> dict[str, Any]:
    """Install what was named; changed is whether there was anything to do."""
    names = sorted(set(given["packages"]))
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise installing.InstallError(f"{', '.join(wrong)}: no name of a package. Nothing was installed.")
    waited = installing.wait_for_another(given["seconds"])
    _, unfinished = programs.packages()
    if not names and not unfinished:
        return {"changed": waited, "waited": waited}
    if not checks:
        if names and not unfinished:
            apart = [row["name"] for row in seen({**given, "refresh": False})["apart"]]
            installing.require_room(waiting.bytes_to_fetch(names))
            installing.require_apart(names, [] if given["window"] else apart)
        installing.install(names, given["lock_timeout"], bool(unfinished), given["seconds"])
    return {"changed": True, "waited": waited}


def restarted(given: dict[str, Any], checks: bool) -> dict[str, Any]:
    """Start anew whom nobody waits for."""
    stale = restarting.sorted_out(libraries.stale(), given["app"])
    units = list(stale["at-once"])
    units += stale["nginx"] if given["window"] or not given["edge"] else []
    units += stale["database"] if given["window"] else []
    for unit in [] if checks else units:
        restarting.upgrade_nginx() if unit == "nginx.service" else restarting.restart(unit)
    return {"changed": bool(units), "restarted": units}


if __name__ == "__main__":
    main()
