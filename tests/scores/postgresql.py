"""What a server of PostgreSQL can be asked of the CIS benchmark's items, by subject; the rest of it is for people."""

from __future__ import annotations

from dataclasses import dataclass

from tests.scores.table import Score


@dataclass(frozen=True)
class Item:
    """sql: true where the server is as it should be; it reads no table of anybody's. applies: where it is asked."""

    name: str
    sql: str
    applies: str = "true"


def setting(name: str, *values: str) -> Item:
    """A setting that has one of these values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return Item(name, f"current_setting('{name}', true) IN ({listed})")


ITEMS = [
    Item("data checksums", "current_setting('data_checksums') = 'on'"),
    Item("data folder closed to others", "current_setting('data_directory_mode') IN ('0700', '0750')"),
    Item(
        "a log is kept",
        "current_setting('logging_collector') = 'on' OR current_setting('log_destination') <> ''",
    ),
    setting("log_file_mode", "0600", "0640"),
    # Without the server's own collector it rotates nothing: logrotate does.
    Item(
        "log_truncate_on_rotation",
        "current_setting('log_truncate_on_rotation') = 'on'",
        applies="current_setting('logging_collector') = 'on'",
    ),
    setting("syslog_sequence_numbers", "on"),
    setting("syslog_split_messages", "on"),
    setting("log_min_messages", "warning"),
    setting("log_min_error_statement", "error"),
    setting("debug_print_parse", "off"),
    setting("debug_print_rewritten", "off"),
    setting("debug_print_plan", "off"),
    setting("debug_pretty_print", "on"),
    setting("log_connections", "on"),
    setting("log_disconnections", "on"),
    setting("log_error_verbosity", "default", "verbose"),
    setting("log_hostname", "off"),
    Item(
        "log_line_prefix says who",
        "(SELECT bool_and(current_setting('log_line_prefix') LIKE '%' || letter || '%')"
        " FROM unnest(ARRAY['m', 'p', 'u', 'd']) AS letter)",
    ),
    setting("log_statement", "ddl", "mod", "all"),
    setting("log_timezone", "UTC", "GMT", "Etc/UTC"),
    Item("pgaudit", "current_setting('shared_preload_libraries') LIKE '%pgaudit%'"),
    Item("one superuser", "(SELECT count(*) = 1 FROM pg_roles WHERE rolsuper)"),
    Item(
        "nobody else makes roles or databases or passes by row security",
        "(SELECT count(*) = 0 FROM pg_roles WHERE NOT rolsuper"
        " AND (rolcreaterole OR rolbypassrls OR (rolcreatedb AND rolname <> 'slipway_backup')))",
    ),
    Item(
        "no function runs as a superuser for everybody",
        "(SELECT count(*) = 0 FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE p.prosecdef AND r.rolsuper"
        " AND p.pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
        " AND has_function_privilege('public', p.oid, 'EXECUTE'))",
    ),
    Item("nobody may create in public", "NOT has_schema_privilege('public', 'public', 'CREATE')"),
    Item(
        "no server's programs or files for logins",
        "(SELECT count(*) = 0 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname IN"
        " ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))",
    ),
    Item(
        "listens on addresses that are named",
        "current_setting('listen_addresses') !~ '([*]|0[.]0[.]0[.]0)'",
    ),
    Item(
        "nobody is trusted",
        "(SELECT count(*) = 0 FROM pg_hba_file_rules WHERE auth_method IN ('trust', 'password', 'md5', 'ident'))",
    ),
    Item(
        "other hosts come by TLS",
        "(SELECT count(*) = 0 FROM pg_hba_file_rules"
        " WHERE type IN ('host', 'hostnossl', 'hostnogssenc') AND auth_method <> 'reject')",
    ),
    Item(
        "logins have limits",
        "(SELECT count(*) = 0 FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolconnlimit < 0)",
    ),
    Item(
        "socket for those who may", "current_setting('unix_socket_permissions') IN ('0700', '0770', '0777')"
    ),
    setting("password_encryption", "scram-sha-256"),
    # A server of its own host's socket alone has nobody to encrypt for.
    Item("ssl", "current_setting('ssl') = 'on'", applies="current_setting('listen_addresses') <> ''"),
    setting("ssl_min_protocol_version", "TLSv1.2", "TLSv1.3"),
    Item("ciphers of today", "current_setting('ssl_ciphers') !~ '(^|:)(RC4|3DES|DES|MD5|NULL|ALL|LOW)'"),
    setting("log_replication_commands", "on"),
    setting("archive_mode", "on", "always"),
    setting("fsync", "on"),
    setting("full_page_writes", "on"),
    setting("session_preload_libraries", ""),
    setting("dynamic_library_path", "$libdir"),
]
HELD, IDLE = "1", "-"
QUERY = "SELECT " + ",\n".join(
    f"CASE WHEN {item.applies} THEN coalesce(({item.sql}), false)::int::text ELSE '{IDLE}' END"
    for item in ITEMS
)


def scores(said: str) -> list[Score]:
    """The score in the one row that QUERY gives, unaligned: items that are as they should be."""
    answers = said.strip().split("|")
    if len(answers) != len(ITEMS):
        raise ValueError(f"PostgreSQL answered {len(answers)} of {len(ITEMS)} questions: {said[:500]}")
    idle = [item.name for item, answer in zip(ITEMS, answers, strict=True) if answer == IDLE]
    missed = [item.name for item, answer in zip(ITEMS, answers, strict=True) if answer not in (HELD, IDLE)]
    asked = len(ITEMS) - len(idle)
    about = f"of {asked}; not: {', '.join(missed) or 'none'}; nothing to ask of: {', '.join(idle) or 'none'}"
    return [Score("PostgreSQL, CIS: items held", asked - len(missed), asked, lower=False, about=about)]
