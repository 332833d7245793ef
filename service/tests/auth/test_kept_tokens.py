"""An access token is verified once: what is kept of it opens nothing that the token itself would not."""

import time
import uuid
from types import SimpleNamespace
from typing import Any, cast

import jwt
import pytest
from pydantic import SecretStr

from conftest import SECRET_KEY
from shop.auth import tokens as module
from shop.auth.tokens import LEEWAY, InvalidToken, Token, Tokens

WHO = uuid.uuid4()


def tokens(key: str = SECRET_KEY, minutes: int = 15) -> Tokens:
    settings = SimpleNamespace(
        secret_key=SecretStr(key),
        secret_key_previous=None,
        token_issuer="shop",
        token_audience="shop",
        access_token_minutes=minutes,
        refresh_token_days=1,
    )
    return Tokens(cast(Any, settings))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each token whose signature is computed."""
    seen: list[str] = []
    decode = jwt.decode

    def counting(token: str, *words: Any, **options: Any) -> Any:
        seen.append(token)
        return decode(token, *words, **options)

    monkeypatch.setattr(module.jwt, "decode", counting)
    return seen


def test_the_same_token_is_verified_once_and_says_the_same(verified: list[str]) -> None:
    one = tokens()
    token = one.issue("access", WHO, 7)

    found = [one.read_access(token) for _ in range(3)]

    assert len(verified) == 1
    assert found[0] == found[1] == found[2]
    assert isinstance(found[0], Token)
    assert (found[0].user_id, found[0].token_version) == (WHO, 7)


def test_it_ends_at_its_time_and_not_when_it_was_read(
    verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tokens(minutes=1)
    token = one.issue("access", WHO, 1)
    one.read_access(token)
    ends = int(time.time()) + 60 + LEEWAY

    monkeypatch.setattr(module.time, "time", lambda: ends - 5.0)
    one.read_access(token)
    assert len(verified) == 1
    monkeypatch.setattr(module.time, "time", lambda: ends + 1.0)
    # The signature is computed again; by whose clock it ended is PyJWT's, which is not moved here.
    one.read_access(token)
    assert len(verified) == 2


def test_one_letter_less_or_another_is_another_token(verified: list[str]) -> None:
    one = tokens()
    token = one.issue("access", WHO, 1)
    one.read_access(token)

    for other in (token[:-1], token + "A", token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]):
        with pytest.raises(InvalidToken):
            one.read_access(other)


def test_what_was_refused_is_not_kept_and_a_refresh_token_is_none(verified: list[str]) -> None:
    one = tokens()
    for token in (one.issue("refresh", WHO, 1), tokens(SECRET_KEY[::-1]).issue("access", WHO, 1), "nonsense"):
        for _ in range(2):
            with pytest.raises(InvalidToken):
                one.read_access(token)
    assert len(verified) == 6
    assert not one._kept


def test_a_key_that_is_taken_away_takes_its_tokens_along() -> None:
    before, after = tokens(), tokens(SECRET_KEY[::-1])
    token = before.issue("access", WHO, 1)
    before.read_access(token)

    # A worker knows other keys from its next start on, and keeps nothing beyond it.
    with pytest.raises(InvalidToken):
        after.read_access(token)


def test_what_is_kept_is_bounded(verified: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    one = tokens()
    made = [one.issue("access", WHO, version) for version in range(1, 6)]
    for token in made:
        one.read_access(token)

    assert len(one._kept) == 3
    one.read_access(made[-1])
    assert len(verified) == 5
    one.read_access(made[0])
    assert len(verified) == 6
