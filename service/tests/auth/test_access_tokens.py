"""What an access token opens, and what no forged, foreign, old or misplaced one does."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from typing import Any

import httpx2
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authentication import me
from conftest import SECRET_KEY, Database, SignedIn, SignIn
from problems import assert_problem
from shop.auth import authenticator
from shop.auth.authenticator import STANDING_SECONDS
from shop.core.logging import AccessLog

pytestmark = pytest.mark.anyio

NEXT_KEY = secrets.token_urlsafe(48)


def part(value: object) -> str:
    """One part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims(user: SignedIn, **changes: object) -> dict[str, Any]:
    """What a valid access token of `user` says, changed; a change to None leaves the claim out."""
    now = int(time.time())
    values = {
        "iss": "shop",
        "aud": "shop",
        "sub": str(user.user_id),
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 60,
        "typ": "access",
        "ver": 1,
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def signed(
    user: SignedIn, key: str = SECRET_KEY, headers: dict[str, Any] | None = None, **changes: object
) -> str:
    """A token of these claims, signed with HS256."""
    return jwt.encode(claims(user, **changes), key, "HS256", headers)


def public_key() -> str:
    """A public key as an attacker finds it published."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def hmac_with(key: str, user: SignedIn, headers: dict[str, Any] | None = None, **changes: object) -> str:
    """A token made by hand, of what PyJWT itself refuses to sign."""
    header = {"alg": "HS256", "typ": "JWT", **(headers or {})}
    message = f"{part(header)}.{part(claims(user, **changes))}"
    digest = hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def attacks(user: SignedIn) -> dict[str, str]:
    """Tokens that must not open anything, by what is wrong with them."""
    now = int(time.time())
    head, body, signature = signed(user).split(".")
    return {
        "alg none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "alg None": f"{part({'alg': 'None', 'typ': 'JWT'})}.{body}.",
        "alg none with the signature": f"{part({'alg': 'none'})}.{body}.{signature}",
        "alg HS512": jwt.encode(claims(user), SECRET_KEY * 2, "HS512"),
        "alg RS256 in name": f"{part({'alg': 'RS256'})}.{body}.{signature}",
        "alg a number": f"{part({'alg': 5})}.{body}.{signature}",
        "alg missing": f"{part({'typ': 'JWT'})}.{body}.{signature}",
        "header a list": f"{part([1])}.{body}.{signature}",
        "signed with a public key": hmac_with(public_key(), user),
        "signed with nothing": hmac_with("", user),
        "signed with another key": signed(user, NEXT_KEY),
        "kid of a file, signed with it": signed(user, "\0" * 32, {"kid": "../../../../dev/null"}),
        "kid of SQL": signed(user, "1" * 32, {"kid": "x' UNION SELECT '1' --"}),
        "kid an object": hmac_with(SECRET_KEY, user, {"kid": {"a": 1}}),
        "jku": signed(user, NEXT_KEY, {"jku": "http://127.0.0.1:9/keys"}),
        "crit": signed(user, SECRET_KEY, {"crit": ["exp"], "exp": 1}),
        "expired": signed(user, iat=now - 100, exp=now - 11),
        "expired long ago": signed(user, iat=0, exp=1),
        "not before the future": signed(user, nbf=now + 60),
        "issued in the future": signed(user, iat=now + 60, exp=now + 120),
        "another issuer": signed(user, iss="other"),
        "another audience": signed(user, aud="other"),
        "a list of audiences": signed(user, aud=["shop", "other"]),
        "a refresh token": signed(user, typ="refresh"),
        "another type": signed(user, typ=["access"]),
        "a stale version": signed(user, ver=0),
        "a version of text": signed(user, ver="1"),
        "a version of truth": signed(user, ver=True),
        "a version beyond integers": signed(user, ver=2**31),
        "a version beyond bigints": signed(user, ver=10**30),
        "nobody's": signed(user, sub=str(uuid.uuid4())),
        "a name": signed(user, sub="admin"),
        "SQL": signed(user, sub="' OR 1=1 --"),
        "NUL": signed(user, sub="\0"),
        "exp infinite": hmac_with(SECRET_KEY, user, exp=float("inf")),
        "exp not a number": hmac_with(SECRET_KEY, user, exp=float("nan")),
        "iat infinite": hmac_with(SECRET_KEY, user, iat=float("inf")),
        "exp of text": signed(user, exp="tomorrow"),
        **{f"without {name}": signed(user, **{name: None}) for name in claims(user)},
        "an empty signature": f"{head}.{body}.",
        "half a signature": f"{head}.{body}.{signature[:20]}",
        "no signature": f"{head}.{body}",
        "five parts": f"{head}.{body}.{signature}.x.y",
        "another body": f"{head}.{part(claims(user, sub=str(uuid.uuid4())))}.{signature}",
        "no base64": f"{head}.!!!.{signature}",
        "no JSON": f"{head}.{base64.urlsafe_b64encode(b'{').decode()}.{signature}",
        "10 kB": signed(user, more="x" * 10_000),
        "10 kB of nothing": "a" * 10_000,
        "dots": ".." * 500,
        "nothing": "",
        "a space": " ",
        "two tokens": f"{signed(user)} {signed(user)}",
        "deep JSON": f"{head}.{base64.urlsafe_b64encode(b'[' * 900).rstrip(b'=').decode()}.{signature}",
    }


@pytest.fixture
async def user(database: Database, sign_in: SignIn) -> SignedIn:
    return await sign_in(database)


async def test_the_tokens_of_these_tests_differ_from_a_valid_one_only_in_their_fault(
    client: httpx2.AsyncClient, user: SignedIn
) -> None:
    assert (await me(client, signed(user))).status_code == 200
    assert (await me(client, hmac_with(SECRET_KEY, user))).status_code == 200
    now = int(time.time())
    assert (await me(client, signed(user, iat=now + 5))).status_code == 200
    assert (await me(client, signed(user, iat=now - 60, exp=now - 5))).status_code == 200


async def test_no_attack_on_a_token_opens_anything_or_learns_anything(
    client: httpx2.AsyncClient, user: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, lines = set(), list[tuple[str, str]]()
    monkeypatch.setattr(AccessLog, "write", lambda _, level, fields: lines.append((level, str(fields))))
    for name, token in attacks(user).items():
        with structlog.testing.capture_logs() as events:
            response = await me(client, token)
        assert response.status_code == 401, f"{name}: {response.text}"
        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer", name
        answers.add(response.text.replace(response.json()["request_id"], ""))
        # What the loop says of a busy machine is not about the request.
        (refusal,) = [event for event in events if event["event"] != "event_loop_lag"]
        assert (refusal["event"], refusal["log_level"]) == ("token_refused", "info"), name
        assert [level for level, _ in lines] == ["info"] * (len(lines) or 1), name
        assert token[-20:] not in f"{events} {lines}" or len(token) < 20, name
    assert (len(answers), len(lines)) == (1, len(attacks(user)))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Basic YWRhOnB3"],
        ["{token}"],
        ["Token {token}"],
        ["Bearer\t{token}"],
        ["Bearer {token}", "Bearer {token}"],
        ["Bearer {token}", "Basic YWRhOnB3"],
        ["Bearer {token}, Bearer {token}"],
        ["Bearer \xff\xfe"],
    ],
)
async def test_one_header_with_one_token_is_the_only_way_in(
    client: httpx2.AsyncClient, user: SignedIn, values: list[str]
) -> None:
    token = signed(user)
    headers = [(b"Authorization", value.format(token=token).encode("latin-1")) for value in values]
    response = await client.get("/api/v1/users/me", headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_name_of_the_scheme_is_written_as_one_likes(
    client: httpx2.AsyncClient, user: SignedIn
) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {signed(user)}"}
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200


async def test_no_other_place_of_a_request_says_who_is_asking(
    client: httpx2.AsyncClient, user: SignedIn
) -> None:
    token = signed(user)
    response = await client.get(
        f"/api/v1/users/me?access_token={token}&user_id={user.user_id}",
        headers={"Cookie": f"access_token={token}", "X-User-ID": str(user.user_id)},
    )
    assert_problem(response, 401)


async def test_a_disabled_user_is_out_within_half_a_minute(
    client: httpx2.AsyncClient, database: Database, user: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    monkeypatch.setattr(authenticator, "monotonic", lambda: time.monotonic() + ahead)
    assert (await me(client, signed(user))).status_code == 200
    await database.execute("UPDATE users SET is_active = false")
    ahead = STANDING_SECONDS
    assert_problem(await me(client, signed(user)), 401, "unauthorized")


async def test_a_raised_token_version_ends_old_tokens_and_a_new_role_is_noticed(
    client: httpx2.AsyncClient, database: Database, user: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    monkeypatch.setattr(authenticator, "monotonic", lambda: time.monotonic() + ahead)
    assert (await client.get("/api/v1/users", headers=user.headers)).status_code == 403
    await database.execute("UPDATE users SET token_version = 2, role = 'admin'")
    # Another token is another entry: it is looked up at once.
    bearer = {"Authorization": f"Bearer {signed(user, ver=2)}"}
    assert (await client.get("/api/v1/users", headers=bearer)).status_code == 200
    ahead = STANDING_SECONDS
    assert_problem(await me(client, signed(user)), 401, "unauthorized")
