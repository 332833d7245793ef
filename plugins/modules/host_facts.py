"""Read in one round trip all that the roles ask about a host. See DOCUMENTATION."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_files import manifest
from ansible.module_utils.slipway_host import clusters, programs, system, users

DOCUMENTATION = r"""
---
module: host_facts
short_description: Looks at a host once, for all the roles
description:
  - Gathers, under the names Ansible's own facts have where there are such, the system and its size, the installed
    packages, the units that run, the users, and which sets of C(host_files) stand whole and in force.
  - Changes nothing. A role compares with these facts and asks the host again only where something is to be done.
author: Slipway
"""
EXAMPLES = r"""
- name: Look at the host
  host_facts:
"""
RETURN = r"""
ansible_facts:
  description: What was seen.
  returned: always
  type: dict
  contains:
    distribution: {description: as os-release names it, type: str, returned: always}
    distribution_version: {description: such as 22.04, type: str, returned: always}
    distribution_major_version: {description: such as 22, type: str, returned: always}
    architecture: {description: the kernel's, type: str, returned: always}
    nodename: {description: the host's own name, type: str, returned: always}
    memtotal_mb: {description: MiB, type: int, returned: always}
    processor_vcpus: {description: processors this host may use, type: int, returned: always}
    virtualization_type: {description: container, none or a hypervisor, type: str, returned: always}
    python: {description: the version of the interpreter that looked, type: dict, returned: always}
    packages: {description: name to version of what is installed, type: dict, returned: always}
    packages_unfinished: {description: packages that dpkg began and did not finish, type: list, returned: always}
    units_running: {description: services and timers that run, type: list, returned: always}
    units_enabled: {description: services and timers that a boot starts, type: list, returned: always}
    postgresql_clusters: {description: 'each one''s name, port, locale, databases', type: list, returned: always}
    users: {description: name to uid and comment and home and shell and groups, type: dict, returned: always}
    standing: {description: set of files to the digest of what stands, type: dict, returned: always}
"""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    installed, unfinished = programs.packages()
    running, enabled = programs.units()
    facts = {
        **system.facts(),
        "packages": installed,
        "packages_unfinished": unfinished,
        "units_running": running,
        "units_enabled": enabled,
        "postgresql_clusters": clusters.clusters(),
        "users": users.users(),
        "standing": manifest.standing(),
    }
    module.exit_json(changed=False, ansible_facts=facts)


if __name__ == "__main__":
    main()
