"""Sentry and OpenTelemetry: extras of the wheel, off until their setting says where to send.

FastAPI makes the spans of requests itself, with the tracer it is given here: nothing instruments it twice.
"""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi.telemetry import TelemetryConfig
from starlette.types import Scope

from shop.core.database import Resources
from shop.core.logging import redact
from shop.core.metrics import UNMATCHED
from shop.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLUSH_SECONDS = 2.0


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return str(scope.get("path", "")).startswith("/health")


def tracer_provider(settings: Settings) -> "TracerProvider | None":
    """The source of spans that sends to settings.otel_endpoint; None without one."""
    if not settings.otel_endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": "shop",
                "service.version": settings.release,
                "deployment.environment.name": settings.environment,
            }
        ),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.otel_endpoint.rstrip("/") + "/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def telemetry_config(provider: "TracerProvider | None") -> TelemetryConfig:
    """What FastAPI's own telemetry is told: spans of requests if there is a provider, never anything else.

    Numbers and errors have their own way out, and the environment's OTEL_ variables add no exporter.
    """
    return {
        "tracing": provider is not None,
        "tracer_provider": provider,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
        "exclude": _is_probe,
    }


def _before_send(event: Any, _hint: object) -> Any:
    # Probes come every second: one that fails would drown every other error.
    if str(event.get("transaction", "")).startswith("/health"):
        return None
    # Sentry's scrubber knows secrets by their names; what an error says is a sentence.
    for error in event.get("exception", {}).get("values", ()):
        error["value"] = redact(error.get("value"))
    return event


def _start_sentry(settings: Settings) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.scrubber import EventScrubber

    if settings.sentry_dsn is None:
        return
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        release=settings.release,
        environment=settings.environment,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        event_scrubber=EventScrubber(recursive=True),
        before_send=_before_send,
        # The request middleware reports; the patches of the defaults would cost each request.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[DedupeIntegration()],
    )


def report_to_sentry(error: Exception, scope: Scope) -> None:
    """Send an error nobody expected, with what tells its request and user apart."""
    import sentry_sdk

    route = getattr(scope.get("route"), "path_format", UNMATCHED)
    with sentry_sdk.new_scope() as reported:
        reported.set_transaction_name(route)
        reported.set_tag("request_id", scope["state"]["request_id"])
        reported.set_tag("method", scope["method"])
        if user_id := scope["state"].get("user_id"):
            reported.set_user({"id": user_id})
        sentry_sdk.capture_exception(error)


@asynccontextmanager
async def reported(
    settings: Settings, resources: Resources, provider: "TracerProvider | None"
) -> AsyncIterator[None]:
    """Report errors and trace statements while the service runs; what waits to be sent is sent at the end."""
    if settings.sentry_dsn:
        _start_sentry(settings)
    if provider is not None:
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

        SQLAlchemyInstrumentor().instrument(engine=resources.reads.sync_engine, tracer_provider=provider)
    try:
        yield
    finally:
        if provider is not None:
            SQLAlchemyInstrumentor().uninstrument()
            await anyio.to_thread.run_sync(provider.shutdown)
        if settings.sentry_dsn:
            import sentry_sdk

            await anyio.to_thread.run_sync(sentry_sdk.flush, FLUSH_SECONDS)
