"""The smallest service: one file, no database."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(title="Hello")


class Greeting(BaseModel):
    message: str


@app.get("/")
def hello(name: str = "world") -> Greeting:
    return Greeting(message=f"Hello, {name}!")


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
