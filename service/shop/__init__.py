"""The bundled service: a small shop on FastAPI and PostgreSQL."""
