from fastapi.testclient import TestClient
from hello import app

client = TestClient(app)


def test_it_greets_the_world() -> None:
    assert client.get("/").json() == {"message": "Hello, world!"}


def test_it_greets_somebody() -> None:
    assert client.get("/", params={"name": "Ada"}).json() == {"message": "Hello, Ada!"}


def test_it_is_healthy() -> None:
    assert client.get("/health").status_code == 200
