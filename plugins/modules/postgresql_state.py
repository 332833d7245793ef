#!/usr/bin/python
"""Ansible module: a PostgreSQL cluster's roles, databases and privileges, stated as a whole."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway_postgresql import apply, plan, reading, unreachable, wanted
from ansible.module_utils.slipway_postgresql.cluster import CONNECTION_SPEC, server_of
from ansible.module_utils.slipway_postgresql.connection import Server, StatementError, UnreachableError
from ansible.module_utils.slipway_postgresql.plan_inside import foreign_tables, missing_objects
from ansible.module_utils.slipway_postgresql.quoting import RefusedError

DOCUMENTATION = """
module: postgresql_state
short_description: State a PostgreSQL cluster's roles, databases, schemas, extensions and privileges
description:
  - Reads what is there, plans the difference and runs it, in as few transactions as possible.
  - Connects through the unix socket as O(admin_os_user) with psql. A password leaves the module only as a
    SCRAM-SHA-256 verifier, and that stays out of the log, pg_stat_activity and pg_stat_statements.
  - A stated role keeps exactly its attributes, memberships and settings. On stated databases, schemas and
    objects in schemas with O(default_privileges), stated roles and PUBLIC keep exactly their privileges;
    other roles keep what they have. Nothing is ever dropped, and no database is recreated.
options:
  version: {description: 'Major version, such as V(14).', type: str, required: true}
  cluster: {description: Name of the cluster., type: str, default: main}
  port: {description: Port of the socket., type: int, default: 5432}
  socket_directory: {description: Folder of the socket., type: path, default: /var/run/postgresql}
  admin_os_user: {description: OS user that runs psql., type: str, default: postgres}
  admin_role: {description: Superuser to connect as., type: str, default: postgres}
  psql: {description: Client to use instead of the newest one installed., type: path}
  lock_timeout_seconds: {description: How long one statement waits for a lock., type: int, default: 5}
  cluster_may_be_missing:
    description: In check mode, report a cluster that does not exist yet as one to be filled.
    type: bool
    default: false
  roles:
    description: >-
      Roles with V(name), V(login) (false), V(inherit) (true), V(superuser), V(createrole), V(createdb),
      V(replication), V(bypassrls) (false), V(connection_limit) (-1), V(member_of), V(settings) and
      V(settings_in_database). Without V(password) a password stays as it is; an empty one removes it.
    type: list
    elements: dict
    default: []
  databases:
    description: >-
      Databases with V(name), V(owner), V(encoding) (UTF8), V(lc_collate), V(lc_ctype) (C.UTF-8), V(template)
      (template0), V(connection_limit) (-1), V(settings), V(revoke_public) (true) and V(connect), the roles
      that may.
    type: list
    elements: dict
    default: []
  schemas:
    description: Schemas with V(database), V(name), V(owner), V(usage) and V(create), both lists of roles.
    type: list
    elements: dict
    default: []
  extensions:
    description: Extensions with V(database), V(name) and V(schema) (public).
    type: list
    elements: dict
    default: []
  default_privileges:
    description: >-
      What V(grants) give on all objects in V(schema) of V(database), there now or created by V(owner) later.
      A grant has V(role), V(tables), V(sequences), V(functions) and V(types), lists of privileges.
      V(except_tables) are tables whose migrations take privileges back: what they hold is left as it is.
    type: list
    elements: dict
    default: []
  object_grants:
    description: >-
      Grants on single objects, V(database), V(schema), V(role), V(tables) and V(functions), both dictionaries
      of name and privileges. One that does not exist yet is named in RV(missing_objects) and granted later.
    type: list
    elements: dict
    default: []
attributes:
  check_mode: {support: full, description: Reads only.}
  diff_mode: {support: full, description: One line for each thing that differs.}
"""

EXAMPLES = """
- name: State a service's database
  postgresql_state:
    version: "14"
    cluster_may_be_missing: true
    roles:
      - {name: blog_owner}
      - name: blog_migrate
        login: true
        connection_limit: 3
        member_of: [blog_owner]
        settings: {role: blog_owner, lock_timeout: 2s, search_path: [blog]}
      - name: blog
        login: true
        password: "{{ vault_blog_database_password | default(omit) }}"
        connection_limit: 60
        settings: {search_path: [blog], statement_timeout: 10s, idle_in_transaction_session_timeout: 60s}
      - name: slipway_ops
        login: true
        connection_limit: 3
        member_of: [pg_monitor]
        settings: {default_transaction_read_only: true, statement_timeout: 5s, lock_timeout: 1s}
        settings_in_database: {blog: {application_name: db-status}}
    databases:
      - name: blog
        owner: blog_owner
        connect: [blog, blog_migrate, slipway_ops]
        settings: {timezone: UTC}
    schemas:
      - {database: blog, name: blog, owner: blog_owner, usage: [blog, slipway_ops]}
    extensions:
      - {database: blog, name: pg_stat_statements}
    default_privileges:
      - database: blog
        schema: blog
        owner: blog_owner
        grants:
          - role: blog
            tables: [SELECT, INSERT, UPDATE, DELETE]
            sequences: [USAGE, SELECT]
            functions: [EXECUTE]
        except_tables: [alembic_version]
    object_grants:
      - {database: blog, schema: blog, role: slipway_ops, tables: {alembic_version: [SELECT]}}
      - database: blog
        schema: pg_catalog
        role: slipway_ops
        tables: {pg_hba_file_rules: [SELECT], pg_file_settings: [SELECT]}
        functions: {pg_hba_file_rules(): [EXECUTE], pg_show_all_file_settings(): [EXECUTE]}
"""

RETURN = """
statements: {description: 'What was done, or would be; no secret.', returned: success, type: list}
missing_objects: {description: Named in object_grants and not there yet., returned: success, type: list}
foreign_tables: {description: Tables of another owner than stated., returned: success, type: list}
facts:
  description: >-
    V(reachable), V(server_version), V(data_checksums), V(in_recovery), V(databases) (encoding, locale),
    V(pending_restart) (name, setting_now, wanted), V(hba_errors), V(ident_errors), V(file_settings_errors)
    (each `file:line: message`).
  returned: success
  type: dict
"""


class Module(AnsibleModule):
    """A module whose arguments stay out of the host's log."""

    def _log_invocation(self) -> None:
        # Ansible logs a list as Python writes it, and masks no secret in it that has a quote or a backslash.
        self.log(f"Invoked for {self.params['version']}/{self.params['cluster']}")


def server_facts(current: dict[str, Any], health: Any) -> dict[str, Any]:
    databases = {
        name: {key: entry[key] for key in ("encoding", "lc_collate", "lc_ctype", "owner")}
        for name, entry in current["databases"].items()
    }
    return {
        "reachable": True,
        "server_version": current["version"],
        "data_checksums": current["data_checksums"],
        "in_recovery": current["in_recovery"],
        "databases": databases,
        "pending_restart": health.pending_restart,
        "hba_errors": health.hba_errors,
        "ident_errors": health.ident_errors,
        "file_settings_errors": health.file_settings_errors,
    }


def difference(title: str, statements: list[Any]) -> dict[str, str]:
    """The diff of a plan; a line that two statements share is shown once."""
    sides = {}
    for side in ("before", "after"):
        lines = [line for statement in statements for line in getattr(statement, side).splitlines()]
        sides[side] = "".join(f"{line}\n" for line in dict.fromkeys(lines))
        sides[f"{side}_header"] = f"PostgreSQL {title}"
    return sides


def converge(module: AnsibleModule, server: Server, stated: dict[str, Any]) -> dict[str, Any]:
    """Read, refuse, plan and, outside check mode, apply; the result to hand to Ansible."""
    facts: dict[str, Any]
    try:
        current, health = reading.read(server, stated)
        facts = server_facts(current, health)
    except UnreachableError:
        may_be_missing = module.check_mode and stated["cluster_may_be_missing"]
        if not may_be_missing or unreachable.cluster_exists(server):
            raise
        current, facts = reading.empty_cluster(server.version, stated), {"reachable": False}
    plan.refuse(current, stated, server.version)
    differences = plan.plan(current, stated)
    plan.refuse_standby(current, differences)
    plan.refuse_cut(current, differences)
    labels, statements = differences.labels, differences.statements
    if labels and not module.check_mode:
        labels = apply.apply(server, differences, stated)
        current, health = apply.verify(server, stated)
        facts = server_facts(current, health)
    inside = current["inside"].items()
    missing = [name for database, state in inside for name in missing_objects(database, state, stated)]
    foreign = [table for database, state in inside for table in foreign_tables(database, state, stated)]
    for table in foreign:
        module.warn(
            f"Table {table}, so default privileges never apply to it: ALTER TABLE … OWNER TO mends it."
        )
    title = f"{server.version}/{server.cluster}"
    return {
        "changed": bool(labels),
        "statements": labels,
        "missing_objects": missing,
        "foreign_tables": foreign,
        "facts": facts,
        "diff": difference(title, statements),
    }


def main() -> None:
    module = Module(argument_spec=CONNECTION_SPEC | wanted.STATE_SPEC, supports_check_mode=True)
    stated = {name: module.params[name] for name in wanted.STATE_SPEC}
    try:
        server = server_of(module.params)
        wanted.check(stated, server.role)
        module.exit_json(**converge(module, server, stated))
    except RefusedError as refused:
        module.fail_json(msg=f"Refused before anything was changed: {' '.join(refused.sentences)}")
    except UnreachableError as error:
        module.fail_json(msg=unreachable.sentence(server, error.reason))
    except StatementError as error:
        module.fail_json(msg=f"The present state could not be read, nothing was changed: {error.message}.")
    except apply.ApplyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
