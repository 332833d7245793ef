"""Two services of a host: each path has the service's name in it, or is one file for all, with its reason."""

from __future__ import annotations

import pytest

from tests.unit.contract.test_templates import TEMPLATES, WHOLE

# What a second service of the same host has to want the same, to the byte, and why there is one of it.
SHARED = {
    "etc/apt/apt.conf.d/20auto-upgrades": "the host patches itself",
    "etc/apt/apt.conf.d/52slipway-unattended-upgrades": "the host patches itself",
    "etc/apt/apt.conf.d/90slipway": "one apt",
    "etc/apt/mirrors/slipway.list": "one apt",
    "etc/apt/preferences.d/slipway": "one apt",
    "etc/apt/sources.list": "one apt",
    "etc/apt/sources.list.d/slipway.list": "one apt",
    "etc/apt/sources.list.d/slipway.sources": "one apt",
    "etc/apt/sources.list.d/{{ ansible_facts.distribution | lower }}.sources": "one apt",
    "etc/chrony/sources.d/slipway.sources": "one clock",
    "etc/cloud/cloud.cfg.d/99-slipway.cfg": "one boot",
    "etc/cloud/templates/hosts.debian.tmpl": "one boot",
    "etc/default/locale": "the host's locale",
    "etc/default/prometheus": "one Prometheus, whose port one service claims",
    "etc/audit/auditd.conf": "one auditd",
    "etc/audit/rules.d/slipway.rules": "one kernel; what a service has is in a file of its own",
    "etc/default/prometheus-alertmanager": "one Alertmanager, whose port one service claims",
    "etc/default/prometheus-node-exporter": "one node-exporter, whose port one service claims",
    "etc/grafana/grafana.ini": "one Grafana, whose port one service claims",
    "etc/grafana/provisioning/dashboards/slipway.yaml": "one Grafana",
    "etc/grafana/provisioning/datasources/slipway.yaml": "one Grafana",
    "etc/hosts": "one resolver",
    "etc/issue": "one console",
    "etc/issue.net": "one console",
    "etc/locale.gen": "the host's locales",
    "etc/logrotate.d/00-slipway": "read for all logs",
    "etc/needrestart/conf.d/slipway.conf": "one needrestart",
    "etc/nginx/nginx.conf": "one nginx; a service's own limits are in its servers",
    "etc/nginx/snippets/slipway-tls.conf": "the protocols of one nginx, without a variable",
    "etc/modprobe.d/slipway.conf": "one kernel",
    "etc/postgresql-common/createcluster.conf": "read when any cluster is made",
    "etc/prometheus/alertmanager.yml": "one Alertmanager",
    "etc/prometheus/prometheus.yml": "one Prometheus, which is one service's",
    "etc/prometheus/rules/slipway.yml": "one Prometheus",
    "etc/prometheus/slipway-web.yml": "one node-exporter",
    "etc/profile.d/slipway.sh": "every login's shell",
    "etc/rsyslog.conf": "one rsyslogd",
    "etc/rsyslog.d/05-json.conf": "one sink; a service's members are in its own file",
    "etc/rsyslog.d/20-collector.conf": "one port for other hosts' lines",
    "etc/rsyslog.d/30-forward.conf": "the host's own lines go to one place",
    "etc/rsyslog.d/50-default.conf": "the host's own lines",
    "etc/security/limits.d/60-slipway.conf": "every login's limits",
    "etc/security/pwquality.conf.d/slipway.conf": "every login's password",
    "etc/slipway/firewall.nft": "one way in; each service's ports are in a file of its own",
    "etc/ssh/slipway-keys/deploy": "one deploy user; who may sign is each service's own",
    "etc/ssh/sshd_config.d/10-slipway.conf": "one sshd",
    "etc/ssh/sshd_config.d/11-slipway-server.conf": "one sshd",
    "etc/sudoers.d/slipway": "one program as root, for all services",
    "etc/sysctl.d/60-slipway.conf": "one kernel",
    "etc/systemd/journald.conf.d/slipway.conf": "one journal",
    "etc/systemd/system/logrotate.timer.d/slipway.conf": "one logrotate",
    "etc/systemd/system/nginx.service.d/20-slipway-sandbox.conf": "one nginx",
    "etc/systemd/system/nginx.service.d/slipway.conf": "one nginx",
    "etc/systemd/system/postgresql@.service.d/slipway-restart.conf": "the same for every cluster",
    "etc/systemd/system/postgresql@.service.d/slipway.conf": "the same for every cluster",
    "etc/systemd/system.conf.d/60-slipway.conf": "one systemd",
    "etc/systemd/system/slipway-firewall.service": "loads the one table",
    "etc/systemd/system/slipway-relp-tunnel.service": "the host's own lines go to one place",
    "etc/systemd/system/prometheus-alertmanager.service.d/slipway.conf": "one Alertmanager",
    "etc/systemd/system/prometheus-node-exporter.service.d/slipway.conf": "one node-exporter",
    "etc/systemd/system/prometheus.service.d/slipway.conf": "one Prometheus",
    "etc/systemd/system/redis-server.service.d/slipway.conf": "one Redis, which one service claims",
    "etc/systemd/system/rsyslog.service.d/20-slipway-sandbox.conf": "one rsyslogd",
    "etc/systemd/system/rsyslog.service.d/slipway.conf": "one rsyslogd",
    "etc/systemd/system/unattended-upgrades.service.d/20-slipway-sandbox.conf": "one waits for the shutdown",
    "etc/systemd/timesyncd.conf.d/slipway.conf": "one clock",
    "etc/timezone": "one time zone",
}
# A cluster is one service's, which its role claims.
ITS_OWN = ("{{ app_name }}", "{{ postgresql_cluster }}", "{{ slipway_cluster_unit }}")


def of_all() -> set[str]:
    paths = {str(path.relative_to(TEMPLATES)).removesuffix(".j2") for path in WHOLE}
    return {path for path in paths if not any(name in path for name in ITS_OWN)}


def test_a_file_is_one_services_or_all_services_and_then_it_is_said_why() -> None:
    assert of_all() == set(SHARED)


# Whose lines a sender does not name are filed as the service's; only one service claims the port.
# One service alone has these, by its claims.
CLAIMED = {
    "etc/prometheus/prometheus.yml",
    "etc/rsyslog.d/20-collector.conf",
    "etc/systemd/system/redis-server.service.d/slipway.conf",
}


@pytest.mark.parametrize("path", sorted(set(SHARED) - CLAIMED))
def test_a_file_of_all_services_does_not_say_the_name_of_one(path: str) -> None:
    assert "app_name" not in (TEMPLATES / f"{path}.j2").read_text(encoding="utf-8")
