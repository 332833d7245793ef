"""The application: `create_app` for settings in hand, `application` for a process that reads its own."""

import multiprocessing
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from shop import operations
from shop.core import openapi
from shop.core.cache import open_cache
from shop.core.configuration import ConfigurationError, announce, load_settings
from shop.core.console import log_to_console
from shop.core.container import Container
from shop.core.database import open_resources
from shop.core.edge import BodyLimit, CrossOrigin, Head, TrustedHosts
from shop.core.errors import Constraints, register_error_handlers
from shop.core.health import Readiness, revisions
from shop.core.logging import configure_logging
from shop.core.middleware import LastResort, RequestMiddleware
from shop.core.needs import require_what_is_set
from shop.core.passwords import Passwords
from shop.core.routing import operation_id
from shop.core.telemetry import report_to_sentry, reported, telemetry_config, tracer_provider
from shop.domains import DOMAINS
from shop.settings import OPEN_ENVIRONMENTS, Settings

DESCRIPTION = (
    "A small shop. Every error is `application/problem+json`: read `code` in programs, show `message` to "
    "people, and quote `request_id` when you ask about one. Money is a decimal string, times are UTC, lists "
    "are read page by page through `next`."
)
TAGS = {**{domain.name: domain.about for domain in DOMAINS}, **operations.TAGS}
EX_CONFIG = 78
# The one exit status of a worker that makes uvicorn's parent stop instead of starting it again and again.
UVICORN_STARTUP_FAILURE = 3


def constraints() -> Constraints:
    """What the domains say of their constraints in the database."""
    return {name: answer for domain in DOMAINS for name, answer in domain.constraints.items()}


def middleware(settings: Settings) -> list[Middleware]:
    """The middleware, outermost first: every refusal has its id and its access line."""
    cross_origin = Middleware(
        CrossOrigin, origins=settings.cors_origins, credentials=settings.cors_credentials
    )
    return [
        Middleware(RequestMiddleware),
        Middleware(TrustedHosts, hosts=settings.allowed_hosts),
        *([cross_origin] if settings.cors_origins else []),
        Middleware(LastResort, report=report_to_sentry if settings.sentry_dsn else None),
        Middleware(Head),
        Middleware(BodyLimit, largest=settings.max_body_bytes),
    ]


def create_app(settings: Settings) -> FastAPI:
    """The service with `settings`; connections open with its lifespan and close with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings) as resources, open_cache(settings) as cache:
            readiness = Readiness(resources.reads, revisions(), settings.release)
            container = Container(settings, resources, cache, readiness, Passwords.of(settings))
            app.state.container = container
            for domain in DOMAINS:
                if domain.start:
                    domain.start(container)
            async with (
                operations.observed(container, settings),
                reported(settings, resources, provider),
                readiness.asked(),
            ):
                yield

    provider = tracer_provider(settings)
    # Tried one after the other: probes first, then what is built on other domains, which is asked most.
    routers = [*operations.routers(settings), *(domain.router for domain in reversed(DOMAINS))]
    app = FastAPI(
        title="Shop",
        version=settings.release,
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": about} for name, about in TAGS.items()],
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
        middleware=middleware(settings),
        redirect_slashes=False,
        telemetry=telemetry_config(provider),
        openapi_url="/openapi.json" if settings.environment in OPEN_ENVIRONMENTS else None,
        docs_url="/docs" if settings.environment == "development" else None,
        redoc_url=None,
        # Not include_router, which looks through an included router's routes twice for each request.
        routes=[route for router in routers for route in router.routes],
    )
    openapi.describe(app)
    register_error_handlers(app, constraints())
    return app


def application() -> FastAPI:
    """The factory uvicorn is given; settings that cannot be used end the process, one sentence for each."""
    try:
        settings = load_settings(Settings)
        require_what_is_set(settings)
    except ConfigurationError as error:
        print(error, file=sys.stderr, flush=True)
        is_worker = multiprocessing.parent_process() is not None
        sys.exit(UVICORN_STARTUP_FAILURE if is_worker else EX_CONFIG)
    if settings.environment == "development":
        log_to_console(settings.log_level)
    else:
        configure_logging(settings.log_level, settings.release)
        announce(settings)
    return create_app(settings)
