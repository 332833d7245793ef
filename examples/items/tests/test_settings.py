import pytest
from app.core.config import Settings
from pydantic import ValidationError


def settings(**said: str) -> Settings:
    return Settings.model_validate(
        {
            "PROJECT_NAME": "Items",
            "POSTGRES_SERVER": "db",
            "POSTGRES_USER": "items",
            "POSTGRES_PASSWORD": "z1-of-nobody",
            "FIRST_SUPERUSER": "a@items.example",
            "FIRST_SUPERUSER_PASSWORD": "x" * 20,
            "SECRET_KEY": "y" * 40,
            **said,
        }
    )


def test_the_address_is_made_of_its_parts() -> None:
    made = settings(POSTGRES_DB="items").SQLALCHEMY_DATABASE_URI

    assert str(made) == "postgresql+psycopg://items:z1-of-nobody@db:5432/items"


def test_the_folder_of_a_socket_is_no_address() -> None:
    with pytest.raises(ValidationError):
        _ = settings(POSTGRES_SERVER="/var/run/postgresql").SQLALCHEMY_DATABASE_URI


def test_what_everybody_knows_is_refused_where_it_matters() -> None:
    with pytest.raises(ValidationError, match="which everybody knows"):
        settings(**{"ENVIRONMENT": "production", "SECRET_KEY": "changethis"})
