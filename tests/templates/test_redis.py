"""The cache of a service: who may ask it and for what, how much it holds, and whom it is refused to."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import redis
from tests.templates.redis_ground import (
    PASSWORD,
    SUITES,
    Asker,
    RefusedError,
    Server,
    free_port,
    own_address,
    running,
)
from tests.templates.rendering import Case, render
from tests.unit.plugins.ansible_run import REPOSITORY, load_plugin

on_both = pytest.mark.parametrize("suite", SUITES.values())
MEGABYTES = 32
SCRIPT = "return redis.call('lpush', KEYS[1], 'a')"


def with_redis(inventory: str, hosts: dict[str, Any], folder: Path) -> Case:
    """An inventory of the repository with a group redis, copied to a folder."""
    shutil.copytree(REPOSITORY / "inventory" / inventory, folder)
    said = yaml.safe_load((folder / "hosts.yml").read_text())
    (folder / "hosts.yml").write_text(yaml.safe_dump({**said, "redis": {"hosts": hosts}}))
    return Case(os.path.relpath(folder, REPOSITORY / "inventory"), "Ubuntu-22")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of a host that is everything."""
    folder = tmp_path_factory.mktemp("one")
    case = with_redis("lab", {"shop-1": None}, folder / "lab")
    render(
        case, folder, render_only=["app", "firewall"], firewall_enabled=True, redis_memory_megabytes=MEGABYTES
    )
    return folder / "shop-1"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trees of hosts of which one is the cache."""
    folder = tmp_path_factory.mktemp("several")
    case = with_redis("fleet", {"logs-1": None}, folder / "lab")
    render(case, folder, render_only=["app", "firewall"], firewall_enabled=True)
    return folder


@pytest.fixture(params=SUITES.values(), scope="module")
def server(
    request: pytest.FixtureRequest, one: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running(one, tmp_path_factory.mktemp("r") / "r", request.param) as found:
        yield found


@pytest.fixture
def service(server: Server) -> Asker:
    asker = server.plain()
    assert asker.say("AUTH", "shop", PASSWORD) == "OK"
    return asker


def test_who_says_no_name_or_another_password_is_refused(server: Server) -> None:
    for words in (
        ["PING"],
        ["GET", "shop:1:a"],
        ["AUTH", PASSWORD],
        ["AUTH", "default", ""],
        ["AUTH", "shop", "guess"],
    ):
        with pytest.raises(RefusedError, match=r"NOAUTH|WRONGPASS"):
            server.plain().say(*words)


def test_the_service_s_user_may_do_what_the_service_does(service: Asker) -> None:
    assert service.say("SET", "shop:1:a", "1", "NX") == "OK"
    assert service.say("SET", "shop:1:b", "2", "PX", "60000") == "OK"
    assert service.say("MGET", "shop:1:a", "shop:1:b") == ["1", "2"]
    digest = service.say("SCRIPT", "LOAD", SCRIPT)
    assert service.say("EVALSHA", str(digest), "1", "shop:limit:c") == 1
    assert service.say("DEL", "shop:1:a", "shop:1:b", "shop:limit:c") == 3


@pytest.mark.parametrize(
    "words",
    [
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["DEBUG", "SLEEP", "0"],
        ["ACL", "LIST"],
        ["SCRIPT", "FLUSH"],
        ["EVAL", SCRIPT, "1", "shop:x"],
        ["SHUTDOWN", "NOSAVE"],
        ["REPLICAOF", "192.0.2.1", "6379"],
        ["MONITOR"],
        ["GET", "notes:1:a"],
        ["SET", "shopping", "1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_and_nothing_else(service: Asker, words: list[str]) -> None:
    # 7.0 asks first whether anybody may.
    with pytest.raises(RefusedError, match=r"NOPERM|DEBUG command not allowed"):
        service.say(*words)


def test_a_script_of_the_service_may_do_no_more_than_it(service: Asker) -> None:
    for script in ("return redis.call('flushall')", "return redis.call('get', 'notes:1:a')"):
        digest = str(service.say("SCRIPT", "LOAD", script))
        with pytest.raises(RefusedError, match=r"NOPERM|ACL failure|can't (run|access)"):
            service.say("EVALSHA", digest, "0")


def test_what_it_holds_stays_below_its_bound_and_the_newest_is_there(server: Server, service: Asker) -> None:
    block, number = b"x" * 100_000, 3 * MEGABYTES * 10
    for each in range(number):
        assert service.say("SET", f"shop:1:{each}", block) == "OK"
    held = [each for each in range(number) if service.say("GET", f"shop:1:{each}")]
    assert MEGABYTES * 5 < len(held) <= MEGABYTES * 1_048_576 // len(block)
    assert held[-1] == number - 1
    # Half of what the unit may have in all.
    assert server.resident() < MEGABYTES + 32
    assert not list(server.folder.glob("*.rdb")) + list(server.folder.glob("*.aof"))

    # An answer of all that would be held a second time, for whoever does not read it.
    with pytest.raises(ConnectionError):
        service.say("MGET", *[f"shop:1:{each}" for each in held])
    assert server.plain().say("AUTH", "shop", PASSWORD) == "OK"


def test_on_the_service_s_own_host_there_is_a_socket_and_no_port(one: Path) -> None:
    settings = (one / "etc/shop/shop.env").read_text()
    assert "SHOP_REDIS_URL=unix:///run/redis/shop.sock\nSHOP_REDIS_USERNAME=shop\n" in settings
    assert "REDIS_CA" not in settings
    unit = (one / "etc/systemd/system/shop@.service").read_text()
    assert "LoadCredential=redis_password:/etc/shop/credentials/redis_password\n" in unit
    assert "PrivateNetwork=yes" in unit
    assert (
        "PrivateNetwork=yes" in (one / "etc/systemd/system/redis-server.service.d/slipway.conf").read_text()
    )
    assert "6379" not in (one / "etc/slipway/shop/firewall.nft").read_text()


def test_the_host_keeps_no_password_and_nobody_else_reads_its_digest(one: Path) -> None:
    for name in ("redis.conf", "redis.acl"):
        assert stat.S_IMODE((one / "etc/slipway/shop" / name).stat().st_mode) == 0o640
    assert (one / "etc/slipway/shop/redis.acl").read_text().startswith("(a secret")
    assert "stand-in" not in (one / "etc/slipway/shop/redis.conf").read_text()


def test_of_several_hosts_the_app_hosts_alone_are_let_in_and_show_their_certificate(several: Path) -> None:
    rules = (several / "logs-1/etc/slipway/shop/firewall.nft").read_text()
    opened = [line.strip() for line in rules.splitlines() if "6379" in line]
    assert opened == [f"ip saddr 10.83.7.{number} tcp dport 6379 accept" for number in (31, 32)]
    for host in ("app-1", "app-2"):
        settings = (several / host / "etc/shop/shop.env").read_text()
        assert "SHOP_REDIS_URL=rediss://logs-1:6379/0\n" in settings
        assert (
            "SHOP_REDIS_CA=/etc/ssl/slipway/ca.pem\nSHOP_REDIS_CERTIFICATE=/etc/ssl/slipway/host.pem\n"
            in settings
        )
        unit = (several / host / "etc/systemd/system/shop@.service").read_text()
        assert "LoadCredential=redis_key:/etc/ssl/slipway/host.key\n" in unit
        assert "10.83.7.51" in next(line for line in unit.splitlines() if line.startswith("IPAddressAllow="))


@on_both
def test_who_has_no_certificate_of_the_authority_is_refused(
    suite: str, several: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "plugins/module_utils")
    live = importlib.import_module("slipway_verify.live")
    plugin, address, port = load_plugin("action/private_certificate"), own_address(), free_port()
    for name in ("ssl", "other"):
        (tmp_path / name).mkdir()
        authority = plugin.ensure_authority(tmp_path / name)
        plugin.ensure_certificate(
            tmp_path / name, authority, name="host", names=["logs-1"], addresses=[address], days=90
        )
    tree = tmp_path / "tree/etc/slipway/shop"
    tree.mkdir(parents=True)
    said = (several / "logs-1/etc/slipway/shop/redis.conf").read_text()
    assert "bind 10.83.7.51\n" in said
    # Not the loopback: protected-mode would let that in, whoever it is.
    (tree / "redis.conf").write_text(said.replace("bind 10.83.7.51", f"bind {address}"))
    shutil.copytree(tmp_path / "ssl", tmp_path / "r/ssl")
    with running(tmp_path / "tree", tmp_path / "r", suite, port) as server:
        known = server.secured(address, "logs-1", tmp_path / "ssl/host")
        with pytest.raises(RefusedError, match="NOAUTH"):
            known.say("PING")
        assert known.say("AUTH", "shop", PASSWORD) == "OK"
        assert known.say("SET", "shop:1:a", "1") == "OK"
        for pair in (None, tmp_path / "other/host"):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                server.secured(address, "logs-1", pair).say("PING")
        with pytest.raises(ssl.SSLCertVerificationError):
            server.secured(address, "app-1", tmp_path / "ssl/host")
        # As verify.yml and the doctor ask.
        said_there = {
            "SHOP_REDIS_URL": f"rediss://{address}:{port}/0",
            "SHOP_REDIS_CA": str(tmp_path / "ssl/ca.pem"),
        }
        assert not live.cache(said_there)["answers"]
        assert live.cache({**said_there, "SHOP_REDIS_CERTIFICATE": str(tmp_path / "ssl/host.pem")})["answers"]


def test_what_redis_could_not_be_run_with_is_said_all_at_once(tmp_path: Path) -> None:
    case = with_redis(
        "lab", {f"cache-{n}": {"ansible_host": f"192.0.2.{n}"} for n in (1, 2)}, tmp_path / "lab"
    )
    said: dict[str, Any] = {
        "render_only": ["app"],
        "app_credentials": {"redis_password": "another-one-of-the-inventory"},
        "redis_password": "short",
        "redis_port": 80,
        "redis_commands": ["get", "flushall", "script|flush", "+get"],
        "redis_key_prefix": "shop *",
        "__redis_foreign": ["its settings in /etc/redis/redis.conf were edited"],
    }
    with pytest.raises(AssertionError, match="does not render") as refused:
        render(case, tmp_path / "none", **said)
    why = " ".join(str(refused.value).split())
    for each in (
        "The group redis has cache-1 and cache-2",
        "vault_redis_password is shorter than 16 characters",
        "redis_port is 80",
        "a name in redis_commands is 'flushall', 'script|flush'",
        "a name in redis_commands is '+get'",
        "redis_key_prefix is 'shop *'",
        "has a Redis that is not Slipway's (its settings in /etc/redis/redis.conf were edited)",
        "redis_takeover: true",
        "not one that is given with the group redis, where vault_redis_password is the password",
    ):
        assert each in why


@pytest.mark.parametrize(("keys", "edited"), [(0, False), (1, False), (0, True)])
def test_a_redis_is_somebody_s_that_was_edited_or_has_keys(keys: int, edited: bool, tmp_path: Path) -> None:
    root, programs, run = tmp_path / "root", tmp_path / "bin", tmp_path / "run"
    for folder in (
        root / "etc/redis",
        root / "var/lib/redis",
        root / "var/lib/dpkg/info",
        root / "var/lib/dpkg/updates",
        programs,
        run,
    ):
        folder.mkdir(parents=True)
    (root / "etc/redis/redis.conf").write_text("port 6379\n")
    digest = hashlib.md5(b"port 6379\n", usedforsecurity=False).hexdigest()
    (root / "var/lib/dpkg/status").write_text(
        "Package: redis-server\nStatus: install ok installed\nMaintainer: a <a@b.example>\nArchitecture: amd64\n"
        f"Version: 1\nConffiles:\n /etc/redis/redis.conf {digest}\nDescription: a\n"
    )
    # What a real server leaves; the program that reads it lies beside it.
    program = redis.program_of("bookworm")
    wrapper = program.read_text().replace("usr/bin/redis-server", "usr/bin/redis-check-rdb")
    (programs / "redis-check-rdb").write_text(
        wrapper.replace('$(dirname "$(readlink -f "$0")")', str(program.parent))
    )
    (programs / "redis-check-rdb").chmod(0o755)
    words: list[str | Path] = ["--port", "0", "--unixsocket", run / "s", "--dir", root / "var/lib/redis"]
    server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    asker = until_it_answers(run / "s")
    for number in range(keys):
        asker.say("SET", str(number), "1")
    asker.say("SAVE")
    server.kill()
    server.wait(20)
    if edited:
        (root / "etc/redis/redis.conf").write_text("port 6380\n")

    said = subprocess.run(
        [REPOSITORY / "roles/redis/files/foreign-redis", root],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert ("were edited" in said) is edited
    assert ("keys" in said) is (keys > 0)
    assert bool(said) is (edited or keys > 0)


def until_it_answers(path: Path) -> Asker:
    deadline = time.monotonic() + 20
    while True:
        stream = socket.socket(socket.AF_UNIX)
        if stream.connect_ex(str(path)) == 0:
            return Asker(stream)
        assert time.monotonic() < deadline, "redis-server does not answer"
        time.sleep(0.02)
