"""Registering, logging in and refreshing, as the tests of authentication do it."""

import httpx2

EMAIL = "ada@shop.test"
PASSWORD = "correct horse battery"


async def register(client: httpx2.AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> str:
    """Create a user over HTTP; returns their id."""
    body = {"email": email, "password": password, "name": "Ada"}
    response = await client.post("/api/v1/users", json=body)
    assert response.status_code == 201, response.text
    user_id: str = response.json()["id"]
    return user_id


async def log_in(client: httpx2.AsyncClient, email: str = EMAIL, password: str = PASSWORD) -> httpx2.Response:
    """The answer to a login."""
    return await client.post("/api/v1/auth/login", data={"username": email, "password": password})


async def refresh(client: httpx2.AsyncClient, refresh_token: str) -> httpx2.Response:
    """The answer to a refresh."""
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": refresh_token})


async def me(client: httpx2.AsyncClient, access_token: str) -> httpx2.Response:
    """The answer to whoever shows this token."""
    return await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {access_token}"})
