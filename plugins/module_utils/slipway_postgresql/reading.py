"""What is there now: one query for the cluster, one for each database, each answering in one JSON line."""

from __future__ import annotations

import json
from typing import Any

from .connection import Server
from .health import HEALTH_SQL, Health, read_health
from .quoting import array, identifier, literal
from .wanted import database_names, role_names

MAINTENANCE_DATABASE = "postgres"

# Privileges as [grantee, privilege, grantable]; a null grantee is PUBLIC.
ACL = """(SELECT coalesce(jsonb_agg(jsonb_build_array(
  CASE entry.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(entry.grantee) END,
  entry.privilege_type, entry.is_grantable)), '[]') FROM aclexplode(@acl@) entry)"""

CLUSTER_SQL = """SELECT jsonb_build_object(
  'version', current_setting('server_version'),
  'version_num', current_setting('server_version_num')::int,
  'superuser', current_setting('is_superuser')::bool,
  'in_recovery', pg_is_in_recovery(),
  'data_checksums', current_setting('data_checksums')::bool,
  'role_names', (SELECT jsonb_agg(rolname) FROM pg_authid),
  'roles', (SELECT coalesce(jsonb_object_agg(r.rolname, to_jsonb(r)), '{}')
    FROM pg_authid r WHERE r.rolname::text = ANY (@roles@)),
  'sessions', (SELECT coalesce(jsonb_object_agg(usename, who), '{}') FROM (SELECT usename,
      jsonb_agg(DISTINCT concat_ws(' ', host(client_addr), nullif(application_name, ''))) AS who
    FROM pg_stat_activity WHERE client_addr IS NOT NULL AND usename::text = ANY (@roles@) GROUP BY usename) held),
  'memberships', (SELECT coalesce(jsonb_agg(to_jsonb(m) || jsonb_build_object('group', g.rolname,
      'member', u.rolname, 'grantor', coalesce(b.rolname, '')) ORDER BY g.rolname), '[]')
    FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid JOIN pg_authid u ON u.oid = m.member
    LEFT JOIN pg_authid b ON b.oid = m.grantor WHERE u.rolname::text = ANY (@roles@)),
  'settings', (SELECT coalesce(jsonb_agg(jsonb_build_object('role', r.rolname, 'database', d.datname,
      'config', s.setconfig)), '[]')
    FROM pg_db_role_setting s LEFT JOIN pg_authid r ON r.oid = s.setrole
    LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE r.rolname::text = ANY (@roles@) OR (s.setrole = 0 AND d.datname::text = ANY (@databases@))),
  'databases', (SELECT jsonb_object_agg(d.datname, jsonb_build_object('owner', pg_get_userbyid(d.datdba),
      'encoding', pg_encoding_to_char(d.encoding), 'lc_collate', d.datcollate, 'lc_ctype', d.datctype,
      'connection_limit', d.datconnlimit, 'acl', @database_acl@)) FROM pg_database d),
  'available_extensions', (SELECT coalesce(jsonb_agg(name), '[]') FROM pg_available_extensions
    WHERE name::text = ANY (@extensions@)));
"""

# Objects of an extension are the extension's own business.
DATABASE_SQL = """WITH object AS (
  SELECT c.oid, 'pg_class'::regclass AS catalog, n.nspname AS schema, c.relname AS name, c.relowner AS owner,
    CASE c.relkind WHEN 'S' THEN 'sequences' ELSE 'tables' END AS kind,
    format('%I.%I', n.nspname, c.relname) AS identity,
    coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT p.oid, 'pg_proc'::regclass, n.nspname,
    format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), p.proowner, 'functions',
    p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  UNION ALL
  SELECT t.oid, 'pg_type'::regclass, n.nspname, t.typname, t.typowner, 'types',
    format('%I.%I', n.nspname, t.typname), coalesce(t.typacl, acldefault('T', t.typowner))
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typtype IN ('b', 'c', 'd', 'e', 'r') AND coalesce(c.relkind, 'c') = 'c'
    AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)
), named (key, oid) AS (VALUES @named@)
SELECT jsonb_build_object(
  'schemas', (SELECT coalesce(jsonb_object_agg(n.nspname, jsonb_build_object(
      'owner', pg_get_userbyid(n.nspowner), 'acl', @schema_acl@)), '{}')
    FROM pg_namespace n WHERE n.nspname::text = ANY (@schemas@)),
  'extensions', (SELECT jsonb_object_agg(e.extname, n.nspname)
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace),
  'default_acl', (SELECT coalesce(jsonb_agg(jsonb_build_object('owner', pg_get_userbyid(d.defaclrole),
      'schema', n.nspname, 'kind', d.defaclobjtype, 'acl', @default_acl@)), '[]')
    FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE n.nspname::text = ANY (@schemas@)),
  'named', (SELECT coalesce(jsonb_object_agg(key, oid::bigint), '{}')
    FROM named WHERE key IS NOT NULL),
  'objects', (SELECT coalesce(jsonb_agg(jsonb_build_object('oid', o.oid::bigint, 'schema', o.schema,
      'name', o.name, 'kind', o.kind, 'identity', o.identity, 'owner', pg_get_userbyid(o.owner),
      'acl', @object_acl@) ORDER BY o.identity), '[]')
    FROM object o WHERE o.oid IN (SELECT oid FROM named) OR (o.schema::text = ANY (@listed_schemas@)
      AND NOT EXISTS (SELECT FROM pg_depend x
        WHERE x.classid = o.catalog AND x.objid = o.oid AND x.deptype = 'e'))));
"""


def fill(sql: str, **expressions: str) -> str:
    for name, expression in expressions.items():
        sql = sql.replace(f"@{name}@", expression)
    return sql


def read_cluster(server: Server, wanted: dict[str, Any]) -> tuple[dict[str, Any], Health]:
    """The cluster's roles, memberships, settings and databases, and its health, in one connection."""
    sql = fill(
        CLUSTER_SQL,
        database_acl=ACL.replace("@acl@", "coalesce(d.datacl, acldefault('d', d.datdba))"),
        roles=array([role["name"] for role in wanted["roles"]]),
        databases=array([database["name"] for database in wanted["databases"]]),
        extensions=array([extension["name"] for extension in wanted["extensions"]]),
    )
    state, *health = server.query(MAINTENANCE_DATABASE, sql + HEALTH_SQL)
    return json.loads(state), read_health(health)


def object_key(kind: str, schema: str, name: str) -> str:
    """What a wanted object is called in `named`; the text that to_regclass or to_regprocedure reads."""
    if kind == "tables":
        return f"{identifier(schema)}.{identifier(name)}"
    function, arguments = name.split("(", 1)
    return f"{identifier(schema)}.{identifier(function)}({arguments}"


def named_objects(wanted: dict[str, Any], database: str) -> str:
    """Rows (key, oid or null) for the objects that object_grants names in `database`."""
    lookups = {"tables": "to_regclass", "functions": "to_regprocedure"}
    rows = ["(NULL::text, NULL::oid)"]
    for entry in wanted["object_grants"]:
        if entry["database"] == database:
            for kind, lookup in lookups.items():
                keys = [object_key(kind, entry["schema"], name) for name in entry[kind]]
                rows += [f"({literal(key)}, {lookup}({literal(key)})::oid)" for key in keys]
    return ", ".join(dict.fromkeys(rows))


def read_database(server: Server, database: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """The schemas, extensions, default privileges and objects of `database` that `wanted` speaks of."""
    stated = [entry["name"] for entry in wanted["schemas"] if entry["database"] == database]
    listed = [entry["schema"] for entry in wanted["default_privileges"] if entry["database"] == database]
    sql = fill(
        DATABASE_SQL,
        schema_acl=ACL.replace("@acl@", "coalesce(n.nspacl, acldefault('n', n.nspowner))"),
        default_acl=ACL.replace("@acl@", "d.defaclacl"),
        object_acl=ACL.replace("@acl@", "o.acl"),
        listed_schemas=array(listed),
        schemas=array(["public", *stated, *listed]),
        named=named_objects(wanted, database),
    )
    state: dict[str, Any] = json.loads(server.query(database, sql)[0])
    return state


def read(server: Server, wanted: dict[str, Any]) -> tuple[dict[str, Any], Health]:
    """Everything that `wanted` speaks of: the cluster's state with the databases' own under `inside`."""
    cluster, health = read_cluster(server, wanted)
    cluster["inside"] = {
        name: read_database(server, name, wanted)
        for name in databases_of_interest(wanted)
        if name in cluster["databases"]
    }
    return cluster, health


def databases_of_interest(wanted: dict[str, Any]) -> list[str]:
    stated = [database["name"] for database in wanted["databases"]]
    return list(dict.fromkeys([*stated, *(name for _, name in database_names(wanted))]))


def empty_database(version_num: int, database: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """A database as CREATE DATABASE from template0 makes it; before 15 everybody may create in `public`."""
    public_owner = "pg_database_owner" if version_num >= 150000 else "postgres"
    public = [[None, "USAGE", False]] + ([[None, "CREATE", False]] if version_num < 150000 else [])
    objects = []
    for entry in wanted["object_grants"]:
        if (entry["database"], entry["schema"]) == (database, "pg_catalog"):
            for kind in ("tables", "functions"):
                for name in entry[kind]:
                    key = object_key(kind, "pg_catalog", name)
                    objects.append({"oid": key, "kind": kind, "schema": "pg_catalog", "name": name})
                    objects[-1] |= {"identity": key, "owner": "postgres", "acl": []}
    return {
        "schemas": {"public": {"owner": public_owner, "acl": public}},
        "extensions": {"plpgsql": "pg_catalog"},
        "default_acl": [],
        "named": {thing["identity"]: thing["oid"] for thing in objects},
        "objects": objects,
    }


def empty_cluster(version: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """A cluster that has just been created, with every role that `wanted` refers to but does not state."""
    stated = {role["name"] for role in wanted["roles"]}
    return {
        "version": version,
        "version_num": int(version) * 10000,
        "superuser": True,
        "in_recovery": False,
        "data_checksums": None,
        "role_names": sorted({name for _, name in role_names(wanted)} - stated),
        "roles": {},
        "memberships": [],
        "sessions": {},
        "settings": [],
        "databases": {},
        "available_extensions": [extension["name"] for extension in wanted["extensions"]],
        "inside": {},
    }
