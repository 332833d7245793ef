"""Settings, from the environment or a file .env."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    project_name: str = "Notes"
    database_url: str = "postgresql+psycopg:///notes"
    # How long the worker waits when there is nothing to do.
    worker_pause_seconds: float = 1.0
    # What a job takes at least: as if it asked a slow service.
    job_seconds: float = 0.0


settings = Settings()
