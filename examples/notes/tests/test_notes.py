from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient


@pytest.fixture
def client() -> Iterator[TestClient]:
    from app.main import app

    with TestClient(app) as client:
        yield client


def test_a_note_is_written_read_changed_and_deleted(client: TestClient) -> None:
    made = client.post("/api/notes", json={"title": "Milk", "body": "two litres"})
    assert made.status_code == 201
    path = f"/api/notes/{made.json()['id']}"

    assert client.get(path).json() == made.json()
    assert client.patch(path, json={"body": "one litre"}).json()["body"] == "one litre"
    assert client.get("/api/notes").json()[0]["body"] == "one litre"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_a_note_without_a_title_is_refused(client: TestClient) -> None:
    assert client.post("/api/notes", json={"title": ""}).status_code == 422


def test_new_notes_come_over_a_websocket(client: TestClient) -> None:
    with client.websocket_connect("/api/live") as websocket:
        newest = websocket.receive_json()["newest"]
        made = client.post("/api/notes", json={"title": "Bread"}).json()
        assert websocket.receive_json()["id"] == made["id"] > newest


def test_the_service_is_healthy_with_its_database(client: TestClient) -> None:
    assert client.get("/api/health").json() == {"status": "ok"}
