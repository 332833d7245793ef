"""What a worker remembers of users: for how long, of how many, and for whom it asks."""

import uuid

import anyio
import pytest

from shop.auth import authenticator
from shop.auth.authenticator import STANDING_SECONDS, Standings

pytestmark = pytest.mark.anyio


async def test_a_user_is_looked_up_once_in_half_a_minute_however_many_requests_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(authenticator, "monotonic", lambda: now)
    asked: list[tuple[uuid.UUID, int]] = []

    async def find_role(user_id: uuid.UUID, token_version: int) -> str | None:
        asked.append((user_id, token_version))
        await anyio.sleep(0.01)
        return "user" if token_version == 1 else None

    standings = Standings(find_role)  # type: ignore[arg-type]
    ada = uuid.uuid4()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(standings.role, ada, 1)
    assert asked == [(ada, 1)]
    now = STANDING_SECONDS - 0.001
    assert await standings.role(ada, 1) == "user"
    assert await standings.role(ada, 2) is None
    assert await standings.role(ada, 2) is None
    assert asked == [(ada, 1), (ada, 2)]
    now = STANDING_SECONDS
    assert await standings.role(ada, 1) == "user"
    assert asked == [(ada, 1), (ada, 2), (ada, 1)]


async def test_a_request_that_goes_away_takes_nobody_elses_look_up_with_it() -> None:
    async def find_role(user_id: uuid.UUID, token_version: int) -> str | None:
        await anyio.sleep(0.05)
        return "user"

    standings = Standings(find_role)  # type: ignore[arg-type]
    ada = uuid.uuid4()
    roles = []

    async def ask() -> None:
        roles.append(await standings.role(ada, 1))

    async with anyio.create_task_group() as group:
        with anyio.move_on_after(0.01):
            group.start_soon(ask)
            await standings.role(ada, 1)
    assert roles == ["user"]


async def test_what_is_remembered_of_users_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "MOST_STANDINGS", 3)
    asked = []

    async def find_role(user_id: uuid.UUID, token_version: int) -> str | None:
        asked.append(token_version)
        return "user"

    standings = Standings(find_role)  # type: ignore[arg-type]
    ada = uuid.uuid4()
    for version in (1, 2, 3, 1, 4, 1, 2):
        await standings.role(ada, version)
    assert asked == [1, 2, 3, 4, 2]


async def test_an_error_of_the_database_is_not_remembered() -> None:
    answers = iter([OSError("away"), "user"])

    async def find_role(user_id: uuid.UUID, token_version: int) -> str | None:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    standings = Standings(find_role)  # type: ignore[arg-type]
    ada = uuid.uuid4()
    with pytest.raises(OSError, match="away"):
        await standings.role(ada, 1)
    assert await standings.role(ada, 1) == "user"
