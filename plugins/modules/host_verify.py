"""Look at a host that Slipway configured, and say all that is wrong with it. See DOCUMENTATION."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_files import proofs
from ansible.module_utils.slipway_verify import looking

DOCUMENTATION = r"""
---
module: host_verify
short_description: Says in sentences what is wrong with a host
description:
  - Looks at units, disks, certificates, updates, the database, the live release and the edge. Changes nothing, but
    leaves when it looked and how much was wrong below /run, where C(slipway metrics) finds it.
  - The program look-at-host, which C(fab doctor) asks, is made of the same code.
  - What concerns several hosts, such as the connections of all, is compared by the filter C(verify_complaints).
options:
  service: {description: the service's name, type: str, required: true}
  units: {description: units that have to run, type: list, elements: str, required: true}
  app: {description: 'name, and prefix of the settings, of the service on an app host', type: dict}
  database: {description: 'version, unit, port and name, on a database host', type: dict}
  edge: {description: 'name and authority, on an edge', type: dict}
  monitoring: {description: 'port of Prometheus, on a host that watches', type: dict}
author: Slipway
"""
EXAMPLES = r"""
- name: Look at the host
  host_verify:
    service: notes
    units: [rsyslog, nginx]
    edge: {name: www.example, authority: /etc/ssl/certs}
"""
RETURN = r"""
complaints: {description: 'what is wrong, by what was looked at, in sentences', type: dict, returned: always}
notes: {description: what is worth knowing and no fault of this host, type: list, returned: always}
live: {description: the id of the release that is live, type: str, returned: on app hosts}
connections: {description: how many connections this host's releases may open, type: int, returned: on app hosts}
connections_left: {description: how many the server has for everybody, type: int, returned: on database hosts}
"""


def main() -> None:
    """Entry point; it never fails for what it finds."""
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "units": {"type": "list", "elements": "str", "required": True},
            **{part: {"type": "dict"} for part in ("app", "database", "edge", "monitoring")},
        },
        supports_check_mode=True,
    )
    seen: dict[str, Any] = looking.look(module.params)
    # The doctor knows no kind of complaint of its own for it: sshd and the firewall are units.
    seen["complaints"]["units"] += filter(None, [proofs.told()])
    if not module.check_mode:
        looking.leave(module.params["service"], seen["complaints"])
    module.exit_json(changed=False, **{**seen, "notes": seen["notes"] + looking.notes()})


if __name__ == "__main__":
    main()
