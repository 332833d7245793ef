"""The application: `create_app` for settings in hand, `application` for a process that reads its own."""

import multiprocessing
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from shop.accounts import router as accounts
from shop.auth import router as auth
from shop.core import health, openapi
from shop.core.cache import open_cache
from shop.core.configuration import ConfigurationError, announce, load_settings
from shop.core.database import open_resources
from shop.core.edge import BodyLimit, CrossOrigin, Head, TrustedHosts
from shop.core.errors import Constraints, register_error_handlers
from shop.core.health import Readiness, revisions
from shop.core.logging import configure_logging
from shop.core.middleware import LastResort, RequestMiddleware
from shop.core.needs import require_what_is_set
from shop.core.telemetry import reported, telemetry_config, tracer_provider
from shop.operations import include_routers, observed
from shop.orders import errors as order_errors
from shop.orders import router as orders
from shop.products import errors as product_errors
from shop.products import router as products
from shop.settings import Settings
from shop.users import errors as user_errors
from shop.users import router as users

EX_CONFIG = 78
# What each domain says of its constraints in the database.
CONSTRAINTS: Constraints = {
    **order_errors.CONSTRAINTS,
    **product_errors.CONSTRAINTS,
    **user_errors.CONSTRAINTS,
}
# The one exit status of a worker that makes uvicorn's parent stop instead of starting it again and again.
UVICORN_STARTUP_FAILURE = 3


def middleware(settings: Settings) -> list[Middleware]:
    """The middleware, outermost first: every refusal has its id and its access line."""
    cross_origin = Middleware(
        CrossOrigin, origins=settings.cors_origins, credentials=settings.cors_credentials
    )
    return [
        Middleware(RequestMiddleware),
        Middleware(TrustedHosts, hosts=settings.allowed_hosts),
        *([cross_origin] if settings.cors_origins else []),
        Middleware(LastResort),
        Middleware(Head),
        Middleware(BodyLimit, largest=settings.max_body_bytes),
    ]


def create_app(settings: Settings) -> FastAPI:
    """The service with `settings`; connections open with its lifespan and close with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings) as resources, open_cache(settings) as cache:
            app.state.resources, app.state.cache = resources, cache
            auth.install_auth(app, settings, resources, cache)
            app.state.currency = settings.currency
            users.install_registration(app, settings, cache)
            app.state.readiness = Readiness(resources.reads, revisions(), settings.release)
            async with observed(app, settings, resources), reported(app, settings, resources, provider):
                yield

    provider = tracer_provider(settings)
    documented = settings.environment in ("lab", "test")
    app = FastAPI(
        title="Shop",
        version=settings.release,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.tags(),
        generate_unique_id_function=openapi.operation_id,
        lifespan=lifespan,
        middleware=middleware(settings),
        redirect_slashes=False,
        telemetry=telemetry_config(provider),
        openapi_url="/openapi.json" if documented else None,
        docs_url=None,
        redoc_url=None,
    )
    openapi.describe(app)
    register_error_handlers(app, CONSTRAINTS)
    # Routes are tried one after the other: what is asked most comes first.
    app.include_router(products.router)
    app.include_router(health.router)
    app.include_router(orders.router)
    app.include_router(accounts.router)
    app.include_router(users.router)
    app.include_router(auth.router)
    include_routers(app, settings)
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
    configure_logging(settings.log_level, settings.release)
    announce(settings)
    return create_app(settings)
