"""The service with a part left out, to see what the part costs."""

from fastapi import FastAPI

from shop.core.middleware import RequestMiddleware
from shop.main import application

# What is left out.
OBSERVING: tuple[object, ...] = (RequestMiddleware,)


def without_observability() -> FastAPI:
    """No ids, no access line, no request metrics; the rest is the service."""
    app = application()
    app.user_middleware = [one for one in app.user_middleware if one.cls not in OBSERVING]
    return app
