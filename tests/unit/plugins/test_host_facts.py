"""One look at a host sees what the roles ask about it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.unit.plugins.test_postgresql_harness import run_module

from ansible.module_utils.slipway_files import manifest  # isort: skip
from ansible.module_utils.slipway_host import clusters, neighbours, network, programs, system, users  # isort: skip

JAMMY = """PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
# a comment = with a sign
ID=ubuntu
"""


def program(folder: Path, name: str, said: str, status: int = 0) -> None:
    """A program of that name, ahead of the real one, that says so and ends so."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {status}\n")
    path.chmod(0o755)


@pytest.fixture
def programs_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_the_system_is_the_one_os_release_names(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(JAMMY)

    found = system.os_release(str(tmp_path / "os-release"))

    assert (found["NAME"], found["VERSION_ID"]) == ("Ubuntu", "22.04")
    assert system.os_release(str(tmp_path / "missing")) == {}


def test_this_machine_is_seen() -> None:
    answer = run_module("host_facts", {"app": "shop"}, False)

    facts = answer["ansible_facts"]
    assert facts["distribution"] in ("Debian", "Ubuntu")
    assert facts["python"]["version"] == {"major": sys.version_info.major, "minor": sys.version_info.minor}
    assert facts["memtotal_mb"] > 100
    assert facts["processor_vcpus"] >= 1
    assert facts["packages"]["dpkg"].startswith("1.")
    assert facts["users"]["root"]["home"] == "/root"
    assert facts["private_view"] == "" or os.geteuid() != 0
    assert isinstance(facts["has_ipv6"], bool)
    assert not {"127.0.0.1", "::1"} & {*facts["all_ipv4_addresses"], *facts["all_ipv6_addresses"]}
    own = {"", *facts["all_ipv4_addresses"], *facts["all_ipv6_addresses"]}
    assert {facts["default_ipv4"]["address"], facts["default_ipv6"]["address"]} <= own


def test_a_package_that_dpkg_did_not_finish_is_not_installed(programs_of: Path) -> None:
    rows = ["installed\tnginx\t1.18.0", "half-configured\tlinux-image\t5.15", "config-files\told\t1"]
    rows += ["triggers-pending\tman-db\t2.10", "unpacked\tlibc6\t2.35"]
    program(programs_of, "dpkg-query", "\n".join(rows))

    assert programs.packages() == ({"nginx": "1.18.0", "man-db": "2.10"}, ["libc6", "linux-image"])


def test_a_python_that_is_named_by_its_path_is_tried(tmp_path: Path) -> None:
    without = tmp_path / "python3.12"
    without.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1\n")
    without.chmod(0o755)

    assert programs.python_complaint("") == programs.python_complaint("python3.11") == ""
    assert programs.python_complaint(sys.executable) == ""
    assert programs.python_complaint(str(without)) == "ModuleNotFoundError: No module named 'ensurepip'"
    assert programs.python_complaint(f"{tmp_path}/python3.13") == "No such file or directory"


def test_a_unit_runs_or_is_enabled_as_systemd_says(programs_of: Path) -> None:
    loaded = "Id=nginx.service\nActiveState=active\nUnitFileState=enabled\n\n"
    loaded += "Id=shop@1.service\nActiveState=failed\nUnitFileState=enabled\n\n"
    loaded += "Id=apt-daily-upgrade.service\nActiveState=activating\nUnitFileState=masked\n"
    script = f"case $1 in show) cat <<'END'\n{loaded}\nEND\n;; *) echo 'ntp.service enabled enabled';; esac"
    (programs_of / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (programs_of / "systemctl").chmod(0o755)

    running, enabled, starting = programs.units()

    assert running == ["nginx.service"]
    assert enabled == ["nginx.service", "ntp.service", "shop@1.service"]
    assert starting == ["apt-daily-upgrade.service"]


def test_a_host_is_made_once_cloud_init_has_ended_and_apt_lets_go_of_dpkg(tmp_path: Path) -> None:
    run, upgrades = str(tmp_path), ["apt-daily-upgrade.service"]
    assert programs.first_boot(["nginx.service"], run) == []
    assert programs.first_boot(upgrades, run) == upgrades

    (tmp_path / "enabled").touch()
    assert programs.first_boot([], run) == ["cloud-init"]
    assert programs.first_boot(upgrades, run) == ["cloud-init", *upgrades]

    (tmp_path / "result.json").touch()
    assert programs.first_boot([], run) == []


def test_users_are_those_of_the_hosts_own_files(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("deploy:x:1000:1000:Deploys:/home/deploy:/bin/bash\n+::::::\n")
    (tmp_path / "shadow").write_text("deploy:*:19000:0:99999:7:::\n")
    (tmp_path / "group").write_text("adm:x:4:ubuntu\nsystemd-journal:x:9:ubuntu,deploy\n")

    assert users.users(str(tmp_path)) == {
        "deploy": {
            "uid": 1000,
            "comment": "Deploys",
            "home": "/home/deploy",
            "shell": "/bin/bash",
            "groups": ["systemd-journal"],
            "no_password": True,
        }
    }


def test_a_cluster_that_does_not_answer_says_nothing(
    programs_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = "14 main 5432 online postgres /var/lib/postgresql/14/main /var/log/1\n"
    listing += "15 old 5433 down postgres /var/lib/postgresql/15/old /var/log/2"
    program(tmp_path, "lsclusters", listing)
    monkeypatch.setattr(clusters, "LIST", str(tmp_path / "lsclusters"))
    program(programs_of, "runuser", "", 2)

    found = clusters.clusters()

    assert [(one["name"], one["runs"], one["locale"]) for one in found] == [
        ("14/main", True, None),
        ("15/old", False, None),
    ]

    program(programs_of, "runuser", "crm|de_DE.UTF-8 UTF8\npostgres|C.UTF-8 UTF8\ntemplate1|C.UTF-8 UTF8")
    assert (clusters.clusters()[0]["locale"], clusters.clusters()[0]["databases"]) == (
        "C.UTF-8 UTF8",
        ["crm"],
    )


def test_a_cluster_of_the_next_major_is_ours_where_an_upgrade_gave_it_our_rules(
    programs_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("17/main", "17/other"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "pg_hba.conf").write_text("local shop shop peer\n")
    ours = {f"{tmp_path}/14/main/pg_hba.conf": hashlib.sha256(b"local shop shop peer\n").hexdigest()}
    listing = [f"17 {name} 5432 down postgres {tmp_path}/data /var/log/1" for name in ("main", "other")]
    program(tmp_path, "lsclusters", "\n".join(listing))
    monkeypatch.setattr(clusters, "LIST", str(tmp_path / "lsclusters"))
    monkeypatch.setattr(clusters, "SETTINGS", str(tmp_path))
    monkeypatch.setattr(clusters.manifest, "services", lambda: ["shop"])
    monkeypatch.setattr(clusters.manifest, "read", lambda app, name: manifest.Manifest(ours, {}, False))

    assert [(one["name"], one["ours"]) for one in clusters.clusters()] == [
        ("17/main", True),
        ("17/other", False),
    ]

    (tmp_path / "17/main/pg_hba.conf").write_text("local shop shop peer\nlocal crm crm peer\n")
    assert not clusters.clusters()[0]["ours"]


def test_who_listens_is_known_with_program_and_pid(programs_of: Path) -> None:
    rows = ['LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=30,fd=6),("nginx",pid=12,fd=6))']
    rows += ['LISTEN 0 128 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=7,fd=13))']
    rows += ["LISTEN 0 64 [::]:2049 [::]:*"]
    program(programs_of, "ss", "\n".join(rows))

    found = network.listeners() or []

    assert [(one["address"], one["port"], one["program"], one["pid"]) for one in found] == [
        ("0.0.0.0", 80, "nginx", 12),
        ("127.0.0.53", 53, "systemd-resolve", 7),
        ("::", 2049, "", 0),
    ]


def test_without_ss_nobody_is_said_not_to_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert network.listeners() is None


def test_this_process_is_seen_where_it_listens() -> None:
    with network.socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [(one["address"], one["pid"]) for one in network.listeners() or [] if one["port"] == port]

    assert found == [("127.0.0.1", os.getpid())]


def test_a_kernel_without_ipv6_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int, kind: int) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(network.socket, "socket", refuse)

    assert not network.has_ipv6()


def test_a_lock_that_somebody_holds_says_that_dpkg_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "DPKG", str(tmp_path))
    assert not programs.dpkg_works()
    with (tmp_path / "lock").open("wb") as stream:
        assert not programs.dpkg_works()
        holds, held = os.pipe()
        child = os.fork()
        if child == 0:
            # It must never come back here: what is killed below would be its own process group.
            try:
                fcntl.lockf(stream, fcntl.LOCK_EX)
                os.write(held, b"1")
                signal.pause()
            finally:
                os._exit(1)
        os.read(holds, 1)
        try:
            assert programs.dpkg_works()
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)


@pytest.fixture
def nginx_of(tmp_path: Path, programs_of: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of an nginx as its package brings them."""
    folder = tmp_path / "nginx"
    for name in ("sites-enabled", "sites-available", "conf.d"):
        (folder / name).mkdir(parents=True)
    (folder / "nginx.conf").write_text("http {}\n")
    (folder / "sites-available/default").write_text("server {}\n")
    (folder / "sites-enabled/default").symlink_to("../sites-available/default")
    shipped = [folder / "nginx.conf", folder / "sites-available/default"]
    lines = [
        f" {path} {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}" for path in shipped
    ]
    program(programs_of, "dpkg-query", "\n".join(lines))
    monkeypatch.setattr(neighbours, "NGINX", str(folder))
    return folder


def test_what_the_package_of_nginx_brings_is_nobodys(nginx_of: Path) -> None:
    assert neighbours.nginx(set()) == []


def test_sites_and_settings_of_somebody_are_seen(nginx_of: Path) -> None:
    (nginx_of / "sites-enabled/blog").write_text("server {}\n")
    (nginx_of / "conf.d/ours.conf").write_text("server {}\n")
    (nginx_of / "conf.d/theirs.conf").write_text("server {}\n")
    (nginx_of / "conf.d/theirs.conf.off").write_text("server {}\n")
    (nginx_of / "sites-available/default").write_text("server { root /srv/blog; }\n")
    (nginx_of / "nginx.conf").write_text("http {}\n  stream {\n}\n# mail {\n")

    found = neighbours.nginx({str(nginx_of / "conf.d/ours.conf")})

    names = ["conf.d/theirs.conf", "sites-enabled/blog", "sites-enabled/default", "nginx.conf"]
    assert found == [str(nginx_of / name) for name in names]
    assert neighbours.nginx_blocks() == ["stream"]


def test_a_prometheus_that_somebody_set_up_is_seen_and_the_packages_own_files_are_not(
    tmp_path: Path, programs_of: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours, shipped, away = (str(tmp_path / name) for name in ("theirs", "ours", "shipped", "away"))
    for path in (theirs, ours, shipped):
        Path(path).write_text("scrape_configs: []\n")
    known = hashlib.md5(Path(shipped).read_bytes(), usedforsecurity=False).hexdigest()
    program(programs_of, "dpkg-query", f" {shipped} {known}\n {theirs} {'0' * 32}")
    monkeypatch.setattr(neighbours, "MONITORING", dict.fromkeys((theirs, ours, shipped, away), "prometheus*"))

    assert neighbours.monitoring({ours}) == [theirs]


@pytest.mark.parametrize(
    "line",
    ['input(type="imtcp" port="514")', "$UDPServerRun 514", "*.* @@logs.example:514", "auth.* @(z9)10.0.0.9"],
)
def test_a_log_server_is_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "rsyslog.conf").write_text(f"*.* /var/log/all\n{line} # ours\n")

    assert neighbours.rsyslog(str(tmp_path / "rsyslog.conf")) == [line]


def test_ubuntus_own_settings_of_rsyslog_are_no_log_servers(tmp_path: Path) -> None:
    lines = ['module(load="imuxsock")', '#module(load="imtcp")', '#input(type="imtcp" port="514")']
    lines += ["$FileOwner syslog", "mail.err /var/log/mail.err", "*.emerg :omusrmsg:*", "*.* -/var/log/a@b"]
    (tmp_path / "rsyslog.conf").write_text("\n".join(lines))

    assert neighbours.rsyslog(str(tmp_path / "rsyslog.conf")) == []
    assert neighbours.rsyslog(str(tmp_path / "missing")) == []


def test_access_rules_of_somebody_are_seen_and_the_packages_are_not(tmp_path: Path) -> None:
    rules = ["# a comment", "local   all   postgres   peer", "local replication all peer"]
    rules += ["host all all 127.0.0.1/32 scram-sha-256", "host replication all ::1/128 md5"]
    rules += ["host  crm  crm  10.0.0.0/8  md5 # the crm", "local all all reject"]
    (tmp_path / "pg_hba.conf").write_text("\n".join(rules) + "\n")

    assert clusters.foreign_rules(str(tmp_path / "pg_hba.conf")) == [
        "host crm crm 10.0.0.0/8 md5",
        "local all all reject",
    ]


def test_the_databases_of_a_stopped_cluster_are_counted(
    programs_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "13760", "16384", "24576", "pgsql_tmp"):
        (tmp_path / "data/base" / name).mkdir(parents=True)
    program(tmp_path, "lsclusters", f"14 main 5432 down postgres {tmp_path}/data /var/log/1")
    monkeypatch.setattr(clusters, "LIST", str(tmp_path / "lsclusters"))

    assert clusters.clusters()[0]["databases_not_asked"] == 2
