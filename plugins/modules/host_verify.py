"""Look at a host that Slipway configured, and say all that is wrong with it. See DOCUMENTATION."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_verify import database, service, system, updates

DOCUMENTATION = r"""
---
module: host_verify
short_description: Says in sentences what is wrong with a host
description:
  - Looks at units, disks, certificates, updates, the database, the live release and the edge. Changes nothing.
  - What concerns several hosts, such as the connections of all, is compared by the filter C(verify_complaints).
options:
  units: {description: units that have to run, type: list, elements: str, required: true}
  app: {description: 'name, and prefix of the settings, of the service on an app host', type: dict}
  database: {description: 'version, unit, port and name, on a database host', type: dict}
  edge: {description: 'name and authority, on an edge', type: dict}
author: Slipway
"""
EXAMPLES = r"""
- name: Look at the host
  host_verify:
    units: [rsyslog, nginx]
    edge: {name: www.example, authority: /etc/ssl/certs}
"""
RETURN = r"""
complaints: {description: 'what is wrong, a sentence each with what to type', type: list, returned: always}
notes: {description: what is worth knowing and no fault of this host, type: list, returned: always}
live: {description: the id of the release that is live, type: str, returned: on app hosts}
connections: {description: how many connections this host's releases may open, type: int, returned: on app hosts}
connections_left: {description: how many the server has for everybody, type: int, returned: on database hosts}
"""


def main() -> None:
    """Entry point; it never fails for what it finds."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "required": True},
            "app": {"type": "dict"},
            "database": {"type": "dict"},
            "edge": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module.params))


def look(wanted: dict[str, Any]) -> dict[str, Any]:
    """Everything that was seen, in the shape of RETURN."""
    app = (wanted["app"] or {}).get("name")
    failed, foreign = system.failed(app)
    said = [
        *system.units(wanted["units"]),
        *failed,
        *system.disks(app),
        *system.certificates(),
        *updates.complaints(),
    ]
    seen: dict[str, Any] = {}
    if wanted["database"]:
        about, seen["connections_left"] = database.database(wanted["database"])
        said += about
    if wanted["app"]:
        about, seen["live"] = service.release(wanted["app"]["name"])
        said += about
        seen["connections"] = service.connections(wanted["app"]["name"], wanted["app"]["prefix"])
    if wanted["edge"]:
        said += service.edge(wanted["edge"]["name"], wanted["edge"]["authority"])
    return {"complaints": said, "notes": foreign + system.network() + updates.notes(), **seen}


if __name__ == "__main__":
    main()
