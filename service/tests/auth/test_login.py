"""What a user gets from logging in, refreshing and logging out."""

import pytest

from conftest import Database, Serve, SignIn

pytestmark = pytest.mark.anyio

CHEAP = {"password_memory_kib": 8, "password_iterations": 1}


async def test_smoke(database: Database, serve: Serve, sign_in: SignIn) -> None:
    async with serve(database.settings(**CHEAP)) as client:
        user = await sign_in(database)
        response = await client.get("/api/v1/users/me", headers=user.headers)
        assert response.status_code == 200, response.text
        admin = await sign_in(database, role="admin")
        response = await client.get("/api/v1/users?limit=1", headers=admin.headers)
        assert response.status_code == 200, response.text
        response = await client.get(response.json()["next"], headers=admin.headers)
        assert response.status_code == 200, response.text
        response = await client.post(
            "/api/v1/users", json={"email": "A@b.example", "password": "correct horse", "name": "A"}
        )
        assert response.status_code == 201, response.text
        response = await client.post(
            "/api/v1/auth/login", data={"username": "a@B.example", "password": "correct horse"}
        )
        assert response.status_code == 200, response.text
        response = await client.post(
            "/api/v1/auth/refresh", json={"refresh_token": response.json()["refresh_token"]}
        )
        assert response.status_code == 200, response.text
        response = await client.post(
            "/api/v1/auth/logout", json={"refresh_token": response.json()["refresh_token"]}
        )
        assert response.status_code == 204, response.text
