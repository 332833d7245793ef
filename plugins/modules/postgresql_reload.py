#!/usr/bin/python
"""Ansible module: let a PostgreSQL server judge its configuration files, then reload them."""

from __future__ import annotations

import re
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_postgresql import unreachable
from ansible.module_utils.slipway_postgresql.cluster import CONNECTION_SPEC, server_of
from ansible.module_utils.slipway_postgresql.connection import Server, StatementError, UnreachableError
from ansible.module_utils.slipway_postgresql.health import HEALTH_SQL, Health, read_health
from ansible.module_utils.slipway_postgresql.ident import ident_faults
from ansible.module_utils.slipway_postgresql.quoting import RefusedError
from ansible.module_utils.slipway_postgresql.reading import MAINTENANCE_DATABASE

DOCUMENTATION = """
module: postgresql_reload
short_description: Check a PostgreSQL cluster's configuration files and reload them
description:
  - Judges the files on disk before they are live. pg_hba_file_rules, pg_ident_file_mappings (15 and later),
    pg_file_settings and the server's own binary read them; on any fault the module fails and does not reload.
  - Waits until the server has loaded the files, and reports the settings that only a restart can change.
options:
  version: {description: 'Major version, such as V(14).', type: str, required: true}
  cluster: {description: Name of the cluster., type: str, default: main}
  port: {description: Port of the socket., type: int, default: 5432}
  socket_directory: {description: Folder of the socket., type: path, default: /var/run/postgresql}
  admin_os_user: {description: OS user that runs psql., type: str, default: postgres}
  admin_role: {description: Superuser to connect as., type: str, default: postgres}
  psql: {description: Client to use instead of the newest one installed., type: path}
  lock_timeout_seconds: {description: How long one statement waits for a lock., type: int, default: 5}
  server_binary: {description: 'By default /usr/lib/postgresql/<version>/bin/postgres.', type: path}
  reload: {description: Without it the files are only checked., type: bool, default: true}
attributes:
  check_mode: {support: full, description: Checks the files and does not reload them.}
  diff_mode: {support: none}
"""

EXAMPLES = """
- name: Check and reload PostgreSQL's configuration
  postgresql_reload:
    version: "14"
  register: postgresql_reloaded
"""

RETURN = """
reloaded: {description: Whether the server has loaded the files., returned: success, type: bool}
pending_restart:
  description: Settings that wait for a restart, with V(name), V(setting_now) and V(wanted).
  returned: success
  type: list
errors: {description: 'Each `file:line: message`.', returned: failure, type: list}
"""

LOAD_SECONDS = 10
POLL_SECONDS = 0.05

OWN_SPEC: dict[str, dict[str, Any]] = {
    "server_binary": {"type": "path"},
    "reload": {"type": "bool", "default": True},
}

SEVERITY = re.compile(r"(?:LOG|WARNING|ERROR|FATAL|DETAIL|HINT):\s+(.*)")


def binary_faults(server: Server, binary: str, health: Health) -> list[str]:
    """What the server's binary says when it reads the settings as it would at a start."""
    command = [binary, "-C", "max_connections", "-D", health.data_directory]
    try:
        completed = server.run_as_owner([*command, "-c", f"config_file={health.config_file}"])
    except OSError as error:
        return [f"{binary}: cannot be run to check the settings: {error.strerror}"]
    if completed.returncode == 0:
        return []
    said: list[str] = SEVERITY.findall(completed.stderr) or [completed.stderr.strip()]
    return [f"{health.config_file}: {line}" for line in said]


def own_ident_faults(health: Health) -> list[str]:
    if health.has_ident_view:
        return []
    with open(health.ident_file, encoding="utf-8", errors="replace") as ident:
        return [*ident_faults(ident.read(), health.ident_file)]


def loaded_after(server: Server, before: float) -> bool:
    """Wait until new sessions see files that were loaded after the time `before` (seconds since 1970)."""
    deadline = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < deadline:
        (loaded,) = server.query(MAINTENANCE_DATABASE, "SELECT extract(epoch FROM pg_conf_load_time());")
        if float(loaded) > before:
            return True
        time.sleep(POLL_SECONDS)
    return False


def check_and_reload(module: AnsibleModule, server: Server) -> dict[str, Any]:
    health = read_health(server.query(MAINTENANCE_DATABASE, HEALTH_SQL))
    binary = module.params["server_binary"] or f"/usr/lib/postgresql/{server.version}/bin/postgres"
    errors = health.errors + own_ident_faults(health) + binary_faults(server, binary, health)
    title = f"PostgreSQL {server.version}/{server.cluster}"
    if errors:
        module.fail_json(
            msg=f"{title} was not reloaded and goes on with what it had loaded. Its files have faults: "
            f"{'; '.join(errors)}. Mend them or put the former files back: a restart would fail on them.",
            errors=errors,
        )
    if not module.params["reload"] or module.check_mode:
        changed = bool(module.params["reload"])
        return {"changed": changed, "reloaded": False, "pending_restart": health.pending_restart}
    server.command(MAINTENANCE_DATABASE, "SELECT pg_reload_conf();")
    if not loaded_after(server, health.loaded):
        module.fail_json(
            msg=f"{title} was told to reload its files, but has not done so within {LOAD_SECONDS} seconds. "
            f"Its log says why: journalctl -u {unreachable.unit_name(server)} -n 50.",
            errors=[],
        )
    health = read_health(server.query(MAINTENANCE_DATABASE, HEALTH_SQL))
    return {"changed": True, "reloaded": True, "pending_restart": health.pending_restart}


def main() -> None:
    module = AnsibleModule(argument_spec=CONNECTION_SPEC | OWN_SPEC, supports_check_mode=True)
    try:
        server = server_of(module.params)
        module.exit_json(**check_and_reload(module, server))
    except RefusedError as refused:
        module.fail_json(msg=f"Refused before anything was changed: {' '.join(refused.sentences)}")
    except UnreachableError as error:
        module.fail_json(msg=unreachable.sentence(server, error.reason))
    except StatementError as error:
        module.fail_json(msg=f"The server could not be asked about its files: {error.message}.")


if __name__ == "__main__":
    main()
