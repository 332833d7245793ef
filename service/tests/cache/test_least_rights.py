"""The service asks Redis as a user of its own that may send what the README says, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from redis_server import RedisServer
from shop.core.cache import RedisCache, RedisLock, cached, open_cache
from shop.core.limits import Limiter
from shop.settings.cache import CacheSettings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]
README = Path(__file__).parents[2] / "README.md"
PASSWORD = "a-password-of-a-test"


def rights() -> str:
    """The rule in the README."""
    found = re.search(r"`user shop on #DIGEST (~shop:\* -@all [^`]+)`", README.read_text(encoding="utf-8"))
    assert found, "the README says no rule for the service's user of Redis"
    return found[1]


@pytest.fixture
def guarded(redis: RedisServer) -> Iterator[RedisServer]:
    """A Redis that knows the service's user alone."""
    redis.kill()
    users = redis.root / "users.acl"
    users.write_text(f"user default off resetpass\nuser shop on >{PASSWORD} {rights()}\n")
    redis.start(aclfile=str(users))
    yield redis


async def use(cache: RedisCache) -> list[str]:
    """Everything that the service does with Redis; what was loaded on the way."""
    loaded = []

    @cached(60, key_prefix="things", shape=str)
    async def load(*, number: int) -> str:
        loaded.append(str(number))
        return str(number)

    for _ in range(2):
        assert await load(cache, number=1) == "1"
    await cache.delete("things", "unknown")
    await cache.clear("things")
    assert await load(cache, number=1) == "1"
    async with RedisLock(cache, "work"):
        assert not await RedisLock(cache, "work").acquire()
    assert await RedisLock(cache, "work").acquire()
    limiter = Limiter("login", cache.link)
    counts = [(limiter.per_minute(2), "network", "192.0.2.1")]
    for _ in range(2):
        await limiter.admit(counts, "too_many", "Too many.")
        await limiter.add(counts)
    with pytest.raises(Exception, match="Too many"):
        await limiter.admit(counts, "too_many", "Too many.")
    return loaded


async def test_all_that_it_does_is_among_them(guarded: RedisServer) -> None:
    settings = CacheSettings(redis_url=guarded.url, redis_username="shop", redis_password=PASSWORD)  # type: ignore[arg-type]
    async with open_cache(settings) as cache:
        loaded = await use(cache)
        assert loaded == ["1", "1"]
        assert (cache.link.status, cache.counters.errors) == ("up", 0)
        assert await cache.link._answers()


async def test_without_its_name_it_serves_without_a_cache(guarded: RedisServer) -> None:
    settings = CacheSettings(redis_url=guarded.url, redis_password=PASSWORD)  # type: ignore[arg-type]
    async with open_cache(settings) as cache:
        assert (await cache.look_up("things", "1")).token == ""
        assert cache.link.status == "down"


async def test_over_tls_it_shows_its_certificate_and_checks_that_of_redis(
    redis: RedisServer, tmp_path: Path, free_tcp_port: int
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    files = {name: tmp_path / name for name in ("ca.pem", "host.pem", "host.key", "other.pem")}
    own = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(files["ca.pem"]))
    other.cert_pem.write_to_path(str(files["other.pem"]))
    own.cert_chain_pems[0].write_to_path(str(files["host.pem"]))
    own.private_key_pem.write_to_path(str(files["host.key"]))
    redis.kill()
    redis.start(
        **{
            "tls-port": str(free_tcp_port),
            "tls-ca-cert-file": str(files["ca.pem"]),
            "tls-cert-file": str(files["host.pem"]),
            "tls-key-file": str(files["host.key"]),
            "tls-auth-clients": "yes",
        }
    )
    said = {
        "redis_url": f"rediss://localhost:{free_tcp_port}/0",
        "redis_ca": files["ca.pem"],
        "redis_certificate": files["host.pem"],
        "redis_key": files["host.key"],
    }
    for changed, status in (
        ({}, "up"),
        ({"redis_ca": files["other.pem"]}, "down"),
        ({"redis_certificate": None, "redis_key": None}, "down"),
    ):
        async with open_cache(CacheSettings(**{**said, **changed})) as cache:  # type: ignore[arg-type]
            await cache.clear("things")
            assert cache.link.status == status, changed
