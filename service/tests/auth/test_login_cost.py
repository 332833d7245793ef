"""A login that fails costs the same whoever it is for: what argon2 is asked to do, in KiB times passes."""

import re
from typing import Any

import argon2
import pytest

from shop.core.passwords import Passwords

pytestmark = pytest.mark.anyio

PARAMETERS = re.compile(rb"m=(\d+),t=(\d+)")
PASSWORD = "correct horse battery"


class Counted:
    """argon2's library; `calls` are the KiB and passes of each computation."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.calls: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def argon2_verify(self, encoded: Any, *rest: Any) -> Any:
        memory, passes = PARAMETERS.search(argon2.low_level.ffi.string(encoded)).groups()  # type: ignore[union-attr]
        self.calls.append((int(memory), int(passes)))
        return self._library.argon2_verify(encoded, *rest)

    def argon2_hash(self, passes: int, memory: int, *rest: Any) -> Any:
        self.calls.append((memory, passes))
        return self._library.argon2_hash(passes, memory, *rest)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts what argon2 computes."""
    counted = Counted(argon2.low_level.lib)
    monkeypatch.setattr(argon2.low_level, "lib", counted)
    return counted


async def admitted() -> None:
    """Every attempt has its turn."""


async def cost(passwords: Passwords, counted: Counted, hashed: str | None) -> int:
    """What a wrong password for `hashed` costs."""
    counted.calls.clear()
    assert await passwords.verify("wrong", hashed, admitted) == (False, None)
    return sum(memory * passes for memory, passes in counted.calls)


NOBODYS = {"nobody": None, "no password": "none", "a damaged hash": "$argon2id$v=19$m=8,t=x,p=1$a$b"}


@pytest.mark.parametrize("nobodys", NOBODYS.values(), ids=NOBODYS)
async def test_nobody_costs_what_a_user_of_today_costs(counted: Counted, nobodys: str | None) -> None:
    passwords = Passwords(memory_kib=1024, iterations=4)
    assert await cost(passwords, counted, nobodys) == 4096
    assert await cost(passwords, counted, await passwords.hash(PASSWORD)) == 4096


@pytest.mark.parametrize(
    ("memory", "passes"),
    [(1024, 1), (256, 4), (256, 3), (8, 1), (1000, 3), (513, 5), (64, 9)],
)
async def test_a_user_of_an_earlier_cheaper_hash_costs_as_much_as_nobody(
    counted: Counted, memory: int, passes: int
) -> None:
    old = await Passwords(memory, passes).hash(PASSWORD)
    passwords = Passwords(memory_kib=1024, iterations=4)
    assert abs(await cost(passwords, counted, old) - await cost(passwords, counted, None)) < 8
    assert max(memory for memory, _ in counted.calls) <= 1024, "more memory than one hash may take"


async def test_once_a_user_of_a_dearer_hash_was_met_everybody_costs_as_much(counted: Counted) -> None:
    dear, old = [await Passwords(*parameters).hash(PASSWORD) for parameters in ((2048, 6), (256, 3))]
    passwords = Passwords(memory_kib=1024, iterations=4)
    today = await passwords.hash(PASSWORD)
    assert await cost(passwords, counted, dear) == 2048 * 6
    for hashed in (today, old, dear, *NOBODYS.values()):
        assert abs(await cost(passwords, counted, hashed) - 2048 * 6) < 8


async def test_the_right_password_is_right_at_any_cost() -> None:
    old = await Passwords(256, 3).hash(PASSWORD)
    valid, rehashed = await Passwords(1024, 4).verify(PASSWORD, old, admitted)
    assert valid
    assert rehashed is not None
    assert rehashed.startswith("$argon2id$v=19$m=1024,t=4,p=1$")
