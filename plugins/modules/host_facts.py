"""Read in one round trip all that the roles ask about a host. See DOCUMENTATION."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_files import manifest, proofs
from ansible.module_utils.slipway_host import (
    clusters,
    memory,
    neighbours,
    network,
    programs,
    reach,
    system,
    users,
)

DOCUMENTATION = r"""
---
module: host_facts
short_description: Looks at a host once, for all the roles
description:
  - Gathers, under the names Ansible's own facts have where there are such, the system and its size, the installed
    packages, the units that run, the users, and which sets of C(host_files) stand whole and in force.
  - Changes nothing. A role compares with these facts and asks the host again only where something is to be done.
options:
  app: {description: the name of the service, type: str, required: true}
  python: {description: the Python that its releases are to be built with, type: str, default: ''}
author: Slipway
"""
EXAMPLES = r"""
- name: Look at the host
  host_facts:
    app: blog
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
    memory_others: {description: 'other services: MiB of a release, of a database', type: dict, returned: always}
    processor_vcpus: {description: processors this host may use, type: int, returned: always}
    virtualization_type: {description: container, none or a hypervisor, type: str, returned: always}
    python: {description: the version of the interpreter that looked, type: dict, returned: always}
    app_python: {description: 'why the one of a path cannot be used', type: dict, returned: always}
    packages: {description: name to version of what is installed, type: dict, returned: always}
    packages_unfinished: {description: packages that dpkg began and did not finish, type: list, returned: always}
    dpkg_works: {description: whether dpkg or apt holds its lock just now, type: bool, returned: always}
    came_in_as: {description: the user who logged in, type: str, returned: always}
    units_running: {description: services and timers that run, type: list, returned: always}
    units_enabled: {description: services and timers that a boot starts, type: list, returned: always}
    first_boot: {description: what of its making still goes on, type: list, returned: always}
    postgresql_clusters: {description: 'each one''s port, locale, databases, rules', type: list, returned: always}
    users: {description: name to uid and comment and home and shell and groups, type: dict, returned: always}
    groups: {description: names, type: list, returned: always}
    nginx_groups: {description: groups that each of nginx's workers has, type: list, returned: always}
    instance_groups: {description: groups of the folders of the service's sockets, type: list, returned: always}
    private_port: {description: 'whether nginx serves, shows, asks', type: dict, returned: always}
    all_ipv4_addresses: {description: the host's own but the loopback's, type: list, returned: always}
    all_ipv6_addresses: {description: the host's own but the loopback's, type: list, returned: always}
    default_ipv4: {description: 'address: with which it goes by its default route', type: dict, returned: always}
    default_ipv6: {description: 'address: with which it goes by its default route', type: dict, returned: always}
    has_ipv6: {description: whether a program may listen on the address of all, type: bool, returned: always}
    listeners: {description: 'each one''s port, program, pid, unit; null without ss', type: list, returned: always}
    firewall_foreign: {description: ufw or firewalld where one filters, type: str, returned: always}
    firewall_opened: {description: ports that Slipway's firewall lets in, type: list, returned: always}
    recorded: {description: sets of files that Slipway ever wrote for the service, type: list, returned: always}
    services: {description: other services of the host to what only they can have, type: dict, returned: always}
    configured_before: {description: whose the host was when it had one service, type: str, returned: always}
    nginx_foreign: {description: sites and settings in the way of Slipway's nginx.conf, type: list, returned: always}
    nginx_blocks: {description: stream and mail where a foreign nginx.conf has them, type: list, returned: always}
    monitoring_ours: {description: settings of monitoring that the service's sets have, type: list, returned: always}
    monitoring_foreign: {description: settings of whoever watches here already, type: list, returned: always}
    rsyslog_foreign: {description: file to lines that receive or send, type: dict, returned: always}
    journal: {description: its bytes and days while nobody bounds it, type: dict, returned: always}
    private_view: {description: why no files can be checked; empty when they can, type: str, returned: always}
    standing: {description: set of files to the digest of what stands, type: dict, returned: always}
"""


def main() -> None:
    """Entry point."""
    arguments = {"app": {"type": "str", "required": True}, "python": {"type": "str", "default": ""}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    installed, unfinished = programs.packages()
    running, enabled, starting = programs.units()
    facts = {
        **system.facts(),
        **network.facts(),
        **neighbours.facts(module.params["app"]),
        "app_python": {"complaint": programs.python_complaint(module.params["python"])},
        "memory_others": memory.others(module.params["app"]),
        "packages": installed,
        "packages_unfinished": unfinished,
        "dpkg_works": programs.dpkg_works(),
        "came_in_as": os.environ.get("SUDO_USER", "root"),
        "units_running": running,
        "units_enabled": enabled,
        "first_boot": programs.first_boot(starting),
        "postgresql_clusters": clusters.clusters(),
        "users": users.users(),
        "groups": users.groups(),
        **reach.facts(module.params["app"]),
        "standing": manifest.standing(module.params["app"]),
    }
    if told := proofs.told():
        module.warn(told)
    module.exit_json(changed=False, ansible_facts=facts)


if __name__ == "__main__":
    main()
