"""A directive is there where it is asked for, and only there: each fact in pairs of hosts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.templates.conftest import CASES_BY_NAME, Trees

SINGLE = ("lab-Ubuntu-22", "shop-1")
EVERYTHING = ("lab-Ubuntu-22-everything", "shop-1")
DEBIAN = ("lab-Debian-12", "shop-1")
DEBIAN_EVERYTHING = ("lab-Debian-12-everything", "shop-1")
EDGE = ("production-Ubuntu-22", "production-edge-1")
APP = ("production-Ubuntu-22", "production-app-1")
DATABASE = ("production-Ubuntu-22", "production-db-1")
LOGS = ("production-Ubuntu-22", "production-logs-1")

Host = tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """`text` stands in `path` on the host `on`, and not on the host `off` (which may lack the file)."""

    path: str
    text: str
    on: Host
    off: Host

    def __str__(self) -> str:
        return f"{self.path}: {self.text[:40]} ({self.on[0]}, not {self.off[0]})".replace("\n", " ")


SHOP_CONF, APP_CONF = "etc/nginx/conf.d/shop.conf", "etc/nginx/conf.d/shop-private.conf"
HEADERS, UNIT = "etc/nginx/snippets/shop-headers.conf", "etc/systemd/system/shop@.service"
# What a console shows, a zone's name, a key that its program reads to the last byte, and JSON, which has no comments.
SILENT = (
    "etc/issue",
    "etc/issue.net",
    "etc/timezone",
    "etc/slipway/shop/pgbackrest.conf",
    "etc/slipway/shop/database-status.json",
    "etc/slipway/shop/look.json",
)
DASHBOARDS = "etc/grafana/dashboards/"
KEYS = ("etc/shop/credentials/", "etc/apt/keyrings/", DASHBOARDS)
# Alerts have Go's templates, which Prometheus fills in, and legends Grafana's.
GO = ("etc/prometheus/rules/", DASHBOARDS)
MIGRATION = "etc/systemd/system/shop-migrate@.service"
BACKFILL, ASK = (f"etc/systemd/system/shop-backfill{kind}@.service" for kind in ("", "-ask"))
PROCESS, TASK = (f"etc/systemd/system/shop-{kind}@.service" for kind in ("process", "task"))
PROXY = "etc/nginx/snippets/shop-proxy.conf"
PINS, APT = "etc/apt/preferences.d/slipway", "etc/apt/apt.conf.d/90slipway"
SOURCES, DEB822 = "etc/apt/sources.list", "etc/apt/sources.list.d/debian.sources"
UPGRADES, PERIODIC = "etc/apt/apt.conf.d/52slipway-unattended-upgrades", "etc/apt/apt.conf.d/20auto-upgrades"
CLUSTER = "etc/postgresql/14/main"
SENDER, COLLECTOR = "etc/rsyslog.d/10-shop.conf", "etc/rsyslog.d/20-collector.conf"
JSON = "etc/rsyslog.d/05-json.conf"
FORWARD, TUNNEL = "etc/rsyslog.d/30-forward.conf", "etc/systemd/system/slipway-relp-tunnel.service"
UPSTREAM = "server unix:/srv/shop/current/http.sock max_fails=0;"

NGINX_SANDBOX, RSYSLOG_SANDBOX, CLUSTER_SANDBOX = (
    f"etc/systemd/system/{unit}.service.d/20-slipway-sandbox.conf"
    for unit in ("nginx", "rsyslog", "postgresql@14-main")
)
SIGNERS = "etc/slipway/shop/allowed_signers"

PAIRS = [
    # Only while an upgrade is planned is there a program that moves clusters, and may deploy start it.
    Pair("etc/slipway/shop/database-upgrade.conf", "\nnew = 17\n", on=EVERYTHING, off=SINGLE),
    Pair(
        "etc/sudoers.d/slipway-shop",
        "NOPASSWD: /usr/local/lib/slipway/database-upgrade",
        on=EVERYTHING,
        off=SINGLE,
    ),
    # Who may sign bundles, for how long, is known where they are staged.
    Pair(
        SIGNERS,
        'ada.lovelace@shop.example namespaces="slipway-bundle@shop" ssh-ed25519 AAAA',
        on=APP,
        off=EDGE,
    ),
    Pair(
        SIGNERS,
        ',valid-after="20260101",valid-before="20991231235959" ssh-ed25519 ',
        on=EVERYTHING,
        off=SINGLE,
    ),
    # Any setting and secret of the service can be given, whatever is in its value.
    Pair("etc/shop/shop.env", 'SHOP_CORS_ORIGINS="https://a.example"', on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/shop.env", r'SHOP_SAYING="say \"\$HOME\" \\ \`id\`"', on=EVERYTHING, off=SINGLE),
    Pair(
        "etc/systemd/system/shop@.service",
        "LoadCredential=redis_password:/etc/shop/credentials/redis_password",
        on=EVERYTHING,
        off=SINGLE,
    ),
    # Releases are built with another Python where the inventory says so.
    Pair("etc/slipway/shop/release.conf", "\npython = /usr/bin/python3.11\n", on=EVERYTHING, off=SINGLE),
    # During a rotation a second key of tokens is accepted.
    Pair(UNIT, "LoadCredential=secret_key_previous:/etc/shop/credentials/", on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/credentials/secret_key_previous", "(a secret", on=EVERYTHING, off=SINGLE),
    # Whose folder the sockets lie in.
    Pair(UNIT, "User=shop\n# Whose the sockets' folder is, which nginx may enter.", on=SINGLE, off=EDGE),
    # Edge and app hosts prove themselves to each other.
    Pair(SHOP_CONF, "proxy_ssl_certificate /etc/ssl/slipway/host.pem;", on=EDGE, off=SINGLE),
    Pair(APP_CONF, "    ssl_verify_client optional;", on=APP, off=EDGE),
    Pair(APP_CONF, '    "1 SUCCESS" 1;', on=APP, off=EDGE),
    # A balancer's word on who the client is counts where its address is named, and nobody else's.
    Pair(SHOP_CONF, "    set_real_ip_from 198.51.100.0/24;", on=EVERYTHING, off=SINGLE),
    Pair(SHOP_CONF, "listen 4443 ssl http2 proxy_protocol;", on=EVERYTHING, off=SINGLE),
    Pair(SHOP_CONF, "    real_ip_header proxy_protocol;", on=EVERYTHING, off=SINGLE),
    # One host answers from its socket; several are asked over TLS, and only then connections are kept open.
    Pair(SHOP_CONF, UPSTREAM, on=SINGLE, off=EDGE),
    Pair(SHOP_CONF, "    server 192.0.2.21:8443 max_fails=1", on=EDGE, off=SINGLE),
    Pair(SHOP_CONF, "    server 192.0.2.22:8443 max_fails=1", on=EDGE, off=SINGLE),
    Pair(SHOP_CONF, "    keepalive 32;", on=EDGE, off=SINGLE),
    Pair(SHOP_CONF, "proxy_ssl_verify on;", on=EDGE, off=SINGLE),
    Pair(SHOP_CONF, "proxy_next_upstream off;", on=SINGLE, off=EDGE),
    Pair(SHOP_CONF, "return 308 https://$host$request_uri;", on=EDGE, off=APP),
    Pair(SHOP_CONF, "server_name shop.example *.shop.example 192.0.2.10 ", on=EVERYTHING, off=SINGLE),
    Pair(APP_CONF, "listen 192.0.2.21:8443 ssl default_server;", on=APP, off=SINGLE),
    Pair(APP_CONF, "    192.0.2.10 1;", on=APP, off=EDGE),
    Pair(APP_CONF, UPSTREAM, on=APP, off=EDGE),
    Pair(HEADERS, "Strict-Transport-Security", on=SINGLE, off=EVERYTHING),
    Pair(SHOP_CONF, "client_max_body_size 5m;", on=EVERYTHING, off=SINGLE),
    Pair("etc/nginx/nginx.conf", "worker_processes auto;", on=APP, off=DATABASE),
    # The service beside its database needs no network and no password; elsewhere it has its own credential only.
    Pair(UNIT, "PrivateNetwork=yes", on=SINGLE, off=APP),
    Pair(UNIT, "After=postgresql@14-main.service", on=SINGLE, off=APP),
    Pair(UNIT, "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", on=APP, off=SINGLE),
    Pair(UNIT, "LoadCredential=database_password:", on=APP, off=SINGLE),
    Pair(UNIT, "SHOP_DATABASE_USER=shop\nLoadCredential=database_password:", on=APP, off=SINGLE),
    # It reaches its database, Redis and what was named, and nothing else.
    Pair(UNIT, "IPAddressDeny=any\nIPAddressAllow=192.0.2.31\n", on=APP, off=SINGLE),
    Pair(UNIT, "IPAddressDeny=any\nIPAddressAllow=192.0.2.51 198.51.100.9/32\n", on=EVERYTHING, off=SINGLE),
    Pair(MIGRATION, "IPAddressAllow=192.0.2.31\n", on=APP, off=SINGLE),
    # A line is filed by who was connected, whatever name it bears.
    Pair(
        COLLECTOR,
        'if ($fromhost-ip == "192.0.2.21") then {\n        set $.sender = "production-app-1";',
        on=LOGS,
        off=SINGLE,
    ),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "ssl_ciphers = 'ECDHE-", on=DATABASE, off=APP),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "log_statement = 'ddl'", on=SINGLE, off=APP),
    Pair(UNIT, "MemoryMax=2G", on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_WORKERS=1\n", on=EVERYTHING, off=SINGLE),
    Pair(MIGRATION, "LoadCredential=migrate_database_password:", on=APP, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_DATABASE_CONNECTION_BUDGET=43\n", on=SINGLE, off=APP),
    Pair(BACKFILL, "LoadCredential=database_password:", on=APP, off=SINGLE),
    Pair(BACKFILL, "PrivateNetwork=yes", on=SINGLE, off=APP),
    Pair(BACKFILL, "EnvironmentFile=/run/slipway/shop/backfill-%i.env", on=SINGLE, off=DATABASE),
    Pair(ASK, "EnvironmentFile=/run/slipway/shop/backfill-ask-%i.env", on=SINGLE, off=DATABASE),
    Pair(ASK, "LoadCredential=database_password:", on=APP, off=SINGLE),
    # A hardened host's daemons are confined, and one of them by other settings where the inventory says so.
    Pair(NGINX_SANDBOX, "\nProtectSystem=full\n", on=EVERYTHING, off=SINGLE),
    Pair(NGINX_SANDBOX, "\nLimitNOFILE=4096\n", on=EVERYTHING, off=SINGLE),
    Pair(RSYSLOG_SANDBOX, "\nProtectHome=read-only\n", on=DEBIAN_EVERYTHING, off=DEBIAN),
    Pair(CLUSTER_SANDBOX, "\nCapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE ", on=EVERYTHING, off=SINGLE),
    Pair("etc/sysctl.d/60-slipway.conf", "net.ipv4.tcp_syncookies = 1", on=EVERYTHING, off=SINGLE),
    Pair("etc/ssh/sshd_config.d/11-slipway-server.conf", "\nMaxAuthTries 4\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/slipway/firewall.nft", "policy drop;", on=EVERYTHING, off=SINGLE),
    # What runs beside the server may what it may. Timers are one host's.
    Pair(PROCESS, "LoadCredential=database_password:", on=APP, off=SINGLE),
    Pair(PROCESS, "LoadCredential=redis_password:", on=EVERYTHING, off=SINGLE),
    Pair(PROCESS, "PrivateNetwork=yes", on=SINGLE, off=APP),
    Pair(PROCESS, "TimeoutStopSec=45\n", on=EVERYTHING, off=SINGLE),
    Pair(TASK, "LoadCredential=database_password:", on=APP, off=SINGLE),
    Pair(TASK, "PrivateNetwork=yes", on=SINGLE, off=APP),
    Pair(TASK, "ConditionPathExists=/srv/shop/current/start\n", on=SINGLE, off=EVERYTHING),
    Pair(TASK, "ConditionPathExists=!/\n", on=EVERYTHING, off=SINGLE),
    Pair(UNIT, "ReadWritePaths=/var/lib/shop\n", on=EVERYTHING, off=SINGLE),
    # A WebSocket is passed on where it is wanted, and nothing else is switched to; a path may take more.
    Pair(PROXY, "proxy_set_header Upgrade $slipway_upgrade;", on=EVERYTHING, off=SINGLE),
    Pair(PROXY, 'proxy_set_header Connection "";', on=SINGLE, off=EVERYTHING),
    # Files of a release are nginx's where the inventory says so.
    Pair(SHOP_CONF, "root /srv/shop/current/public;", on=EVERYTHING, off=SINGLE),
    Pair(HEADERS, """Content-Security-Policy "default-src 'self'\"""", on=EVERYTHING, off=SINGLE),
    Pair(SHOP_CONF, "location /uploads/ {\n        client_max_body_size 100m;", on=EVERYTHING, off=SINGLE),
    Pair(
        "etc/systemd/system/slipway-backup-shop.timer",
        "OnCalendar=*-*-* 02:30:00",
        on=DATABASE,
        off=EVERYTHING,
    ),
    Pair(
        "etc/systemd/system/slipway-restore-test-shop.timer",
        "OnCalendar=Sun *-*-* 04:30:00",
        on=SINGLE,
        off=APP,
    ),
    Pair("etc/slipway/shop/database-backup.conf", "keep = 30\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_DATABASE_HOST=/var/run/postgresql", on=SINGLE, off=APP),
    Pair("etc/shop/shop.env", "SHOP_DATABASE_CA=/etc/ssl/slipway/ca.pem", on=APP, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_LOG_LEVEL=debug", on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_ENVIRONMENT=production", on=APP, off=SINGLE),
    Pair("etc/shop/credentials/database_password", "(a secret", on=APP, off=SINGLE),
    Pair("etc/shop/credentials/secret_key", "(a secret", on=APP, off=DATABASE),
    # The service answers to the site's names, and takes what nginx lets through.
    Pair(
        "etc/shop/shop.env",
        "SHOP_ALLOWED_HOSTS=shop.example,*.shop.example,192.0.2.10,",
        on=EVERYTHING,
        off=SINGLE,
    ),
    Pair("etc/shop/shop.env", "SHOP_ALLOWED_HOSTS=shop.example,localhost\n", on=APP, off=EVERYTHING),
    Pair("etc/shop/shop.env", "SHOP_MAX_BODY_BYTES=5242880\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_MAX_BODY_BYTES=1048576\n", on=APP, off=EVERYTHING),
    Pair("etc/shop/shop.env", "SHOP_REGISTRATION=admin\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/shop/shop.env", "SHOP_REDIS_URL=redis://192.0.2.51:6379/0\n", on=EVERYTHING, off=SINGLE),
    # Metrics are for the host itself, and only where the service runs.
    Pair("etc/nginx/conf.d/shop-metrics.conf", "listen 127.0.0.1:9145;", on=SINGLE, off=EVERYTHING),
    Pair("etc/nginx/conf.d/shop-metrics.conf", "listen 127.0.0.1:9145;", on=APP, off=EDGE),
    Pair(UNIT, "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", on=EVERYTHING, off=SINGLE),
    # Only a database with clients elsewhere listens, and to them alone.
    Pair(
        f"{CLUSTER}/pg_hba.conf",
        "hostssl  shop  shop,shop_b,shop_migrate  192.0.2.21/32",
        on=DATABASE,
        off=SINGLE,
    ),
    Pair(
        f"{CLUSTER}/pg_hba.conf",
        "hostssl  shop  shop,shop_b,shop_migrate  2001:db8::21/128",
        on=EVERYTHING,
        off=SINGLE,
    ),
    Pair(
        f"{CLUSTER}/pg_hba.conf",
        "hostssl  shop  shop,shop_b,shop_migrate  198.51.100.0/24 ",
        on=EVERYTHING,
        off=SINGLE,
    ),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "listen_addresses = '192.0.2.31'", on=DATABASE, off=SINGLE),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "listen_addresses = ''", on=SINGLE, off=DATABASE),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "ssl = 'on'", on=DATABASE, off=SINGLE),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "work_mem = '16MB'", on=EVERYTHING, off=SINGLE),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "log_line_prefix = 'it''s %m '", on=EVERYTHING, off=SINGLE),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "'pg_stat_statements,pgaudit'", on=EVERYTHING, off=SINGLE),
    Pair(f"{CLUSTER}/conf.d/slipway.conf", "pgaudit.log = 'ddl, role'", on=EVERYTHING, off=DEBIAN_EVERYTHING),
    Pair("etc/issue", "authorised people alone", on=EVERYTHING, off=SINGLE),
    Pair("etc/profile.d/slipway.sh", "TMOUT=14400", on=EVERYTHING, off=SINGLE),
    Pair("etc/security/pwquality.conf.d/slipway.conf", "minlen = 14", on=EVERYTHING, off=SINGLE),
    Pair("etc/audit/rules.d/slipway.rules", "-w /etc/sudoers.d -p wa -k ways-in", on=EVERYTHING, off=SINGLE),
    Pair("etc/systemd/system/postgresql@.service.d/slipway.conf", "network-online", on=DATABASE, off=SINGLE),
    Pair(
        "etc/systemd/system/postgresql@.service.d/slipway-restart.conf",
        "Restart=on-abort",
        on=DATABASE,
        off=EDGE,
    ),
    Pair("etc/systemd/system/nginx.service.d/slipway.conf", "Restart=on-abort", on=EDGE, off=DATABASE),
    Pair("etc/postgresql-common/createcluster.conf", "create_main_cluster = false", on=DATABASE, off=APP),
    # Every host sends what it has; the collector alone listens, and keeps its own.
    Pair("etc/rsyslog.conf", 'module(load="omrelp")', on=DATABASE, off=SINGLE),
    Pair("etc/rsyslog.conf", 'module(load="omrelp")', on=EDGE, off=LOGS),
    Pair(SENDER, 'target="127.0.0.1" port="2514"', on=APP, off=DATABASE),
    Pair(FORWARD, 'target="127.0.0.1" port="2514"', on=DATABASE, off=LOGS),
    Pair(TUNNEL, "relp-tunnel 2514 192.0.2.41 production-logs-1 /etc/ssl/slipway syslog", on=APP, off=LOGS),
    Pair("etc/systemd/system/rsyslog.service.d/slipway.conf", "Wants=slipway-relp-tunnel", on=APP, off=LOGS),
    Pair(FORWARD, 'file="/var/log/nginx/access.log" tag="nginx-access"', on=EDGE, off=DATABASE),
    Pair(FORWARD, 'file="/var/log/postgresql/postgresql-14-main.log"', on=DATABASE, off=APP),
    Pair(FORWARD, '($.kind == ["auth", "kernel", "system"])', on=APP, off=SINGLE),
    Pair("etc/systemd/system/rsyslog.service.d/slipway.conf", "LimitFSIZE=256M", on=LOGS, off=APP),
    Pair("etc/systemd/system/rsyslog.service.d/slipway.conf", "LimitFSIZE=1G", on=APP, off=LOGS),
    # None of the service's lines, of who came in, and of PostgreSQL's may be lost; of nginx's some may.
    Pair(SENDER, 'queue.type="Disk" queue.filename="shop_forward"', on=APP, off=DATABASE),
    Pair(FORWARD, 'queue.type="Disk" queue.filename="host_forward"', on=APP, off=SINGLE),
    Pair(FORWARD, 'queue.type="Disk" queue.filename="postgresql_forward"', on=DATABASE, off=APP),
    Pair(
        FORWARD,
        'queue.type="LinkedList" queue.size="10000" queue.filename="nginx_forward"',
        on=EDGE,
        off=DATABASE,
    ),
    Pair(SENDER, 'queue.syncQueueFiles="off"', on=APP, off=SINGLE),
    Pair("etc/systemd/system/rsyslog.service.d/slipway.conf", "step-back-queues", on=APP, off=LOGS),
    # As JSON only where a sink is named, each queue of its own.
    Pair(JSON, 'defaultNetstreamDriverKeyFile="/etc/ssl/slipway/host.key"', on=EVERYTHING, off=APP),
    Pair(SENDER, 'type="omfwd"', on=EVERYTHING, off=APP),
    Pair(SENDER, 'queue.type="Disk" queue.filename="shop_json"', on=EVERYTHING, off=SINGLE),
    Pair(FORWARD, 'queue.type="Disk" queue.filename="host_json"', on=EVERYTHING, off=APP),
    Pair(FORWARD, 'queue.type="Disk" queue.filename="postgresql_json"', on=EVERYTHING, off=DATABASE),
    Pair(
        FORWARD,
        'queue.type="LinkedList" queue.size="10000" queue.filename="nginx_json"',
        on=EVERYTHING,
        off=EDGE,
    ),
    Pair("etc/rsyslog.conf", 'module(load="impstats"', on=EVERYTHING, off=SINGLE),
    Pair(COLLECTOR, 'module(load="imrelp"', on=LOGS, off=APP),
    Pair(COLLECTOR, '"production-app-1", "production-app-2", "production-db-1"', on=LOGS, off=SINGLE),
    Pair("etc/logrotate.d/shop", "rotate 30\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/systemd/journald.conf.d/slipway.conf", "SystemMaxUse=2G", on=EVERYTHING, off=SINGLE),
    Pair("etc/hosts", "192.0.2.77\tlicences.example\n", on=EVERYTHING, off=SINGLE),
    # Package sources in the platform's own form, mirrors only when they are given.
    Pair(SOURCES, "deb mirror+file:/etc/apt/mirrors/slipway.list jammy main", on=EVERYTHING, off=SINGLE),
    Pair(SOURCES, " jammy-security main restricted", on=SINGLE, off=DEBIAN),
    Pair(SOURCES, "deb http://security.example/archive jammy-security", on=EVERYTHING, off=SINGLE),
    Pair(
        "etc/apt/preferences.d/slipway",
        "Package: postgresql-14 libpq*\nPin: release n=pgdg",
        on=EVERYTHING,
        off=SINGLE,
    ),
    Pair(
        "etc/apt/apt.conf.d/90slipway",
        'Acquire::http::Proxy "http://proxy.example:3128";',
        on=EVERYTHING,
        off=SINGLE,
    ),
    Pair(DEB822, "URIs: mirror+file:/etc/apt/mirrors/slipway.list", on=DEBIAN_EVERYTHING, off=DEBIAN),
    Pair(DEB822, "URIs: http://security.example/archive", on=DEBIAN_EVERYTHING, off=EVERYTHING),
    Pair(
        "etc/apt/mirrors/slipway.list", "http://near.example/archive\tpriority:1\n", on=EVERYTHING, off=SINGLE
    ),
    Pair(
        "etc/apt/mirrors/slipway.list", "http://own.example/archive\tpriority:3\n", on=EVERYTHING, off=SINGLE
    ),
    Pair(
        "etc/apt/sources.list.d/slipway.list",
        "http://pgdg.example/pgdg pgdg main 14",
        on=EVERYTHING,
        off=DEBIAN,
    ),
    Pair("etc/apt/sources.list.d/slipway.sources", "Suites: pgdg", on=DEBIAN_EVERYTHING, off=EVERYTHING),
    Pair("etc/apt/sources.list.d/slipway.sources", "bookworm-lab", on=DEBIAN, off=DEBIAN_EVERYTHING),
    Pair(UPGRADES, '"origin=Ubuntu,archive=${distro_codename}-security";', on=SINGLE, off=DEBIAN),
    Pair(UPGRADES, '  "^nginx";', on=EVERYTHING, off=SINGLE),
    Pair(PERIODIC, 'Unattended-Upgrade "1";', on=SINGLE, off=EVERYTHING),
    Pair(
        "etc/systemd/timesyncd.conf.d/slipway.conf",
        "NTP=192.0.2.123 time.example",
        on=DEBIAN_EVERYTHING,
        off=EVERYTHING,
    ),
    Pair(
        "etc/chrony/sources.d/slipway.sources",
        "server 192.0.2.123 iburst",
        on=EVERYTHING,
        off=DEBIAN_EVERYTHING,
    ),
    Pair("etc/cloud/cloud.cfg.d/99-slipway.cfg", "preserve_sources_list: true", on=SINGLE, off=DEBIAN),
    Pair("etc/cloud/templates/hosts.debian.tmpl", "192.0.2.31\tproduction-db-1\n", on=APP, off=SINGLE),
    Pair("etc/rsyslog.conf", "$PrivDropToUser syslog", on=SINGLE, off=DEBIAN),
    Pair("etc/rsyslog.conf", 'fileOwner="syslog"', on=SINGLE, off=DEBIAN),
    Pair("etc/timezone", "Europe/Berlin\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/locale.gen", "de_DE.UTF-8 UTF-8\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/default/locale", "LANG=de_DE.UTF-8\n", on=EVERYTHING, off=SINGLE),
    Pair("etc/hosts", "192.0.2.31\tproduction-db-1\n", on=APP, off=SINGLE),
    Pair("etc/ssh/slipway-keys/deploy", "engineer@laptop", on=EVERYTHING, off=APP),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_it_is_there_where_it_is_asked_for_and_only_there(trees: Trees, pair: Pair) -> None:
    on, off = trees[pair.on], trees[pair.off]

    assert pair.text in on.text(pair.path), f"missing on {pair.on}:\n{on.text(pair.path)}"
    if off.has(pair.path):
        assert pair.text not in off.text(pair.path), f"not asked for on {pair.off}:\n{off.text(pair.path)}"


@pytest.mark.parametrize("case", CASES_BY_NAME)
def test_no_secret_is_ever_rendered(trees: Trees, case: str) -> None:
    for tree in trees.of(case):
        for path in tree.paths():
            assert "stand-in" not in tree.text(path), (
                f"/{path} of {tree.host} ({tree.case.name}) holds a secret"
            )


@pytest.mark.parametrize("case", CASES_BY_NAME)
def test_every_file_says_who_wrote_it_and_ends_with_a_newline(trees: Trees, case: str) -> None:
    for tree in trees.of(case):
        for path in tree.paths():
            if path.startswith(("etc/apt/keyrings/", "usr/local/lib/slipway/check-postgresql")):
                continue  # a key is the inventory's, a program the repository's, byte by byte
            text = tree.text(path)
            assert text.endswith("\n"), f"/{path} of {tree.host} does not end with a newline"
            # Of what holds a secret a stand-in is rendered.
            silent = text.startswith("(a secret: ") or path in SILENT or path.startswith(KEYS)
            assert silent or "Written by Slipway (role " in text, (
                f"/{path} of {tree.host} does not say who wrote it"
            )
            # The path of the template, which the second line names, may itself hold Jinja.
            rendered = [line for line in text.splitlines() if "Written by Slipway" not in line]
            left = [line for line in rendered if "{{" in line or "{%" in line]
            assert path.startswith(GO) or not left, f"/{path} is not rendered"
