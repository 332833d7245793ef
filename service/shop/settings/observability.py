"""What the service tells of itself: metrics, error tracking, traces."""

from pydantic import BaseModel, Field, SecretStr

PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"


class ObservabilitySettings(BaseModel):
    """The part of Settings that metrics, Sentry and OpenTelemetry need."""

    metrics_address: str = Field(
        "",
        pattern=rf"^(|127\.0\.0\.1:{PORT}|/[^\x00-\x1f]{{1,90}})$",
        description="127.0.0.1:PORT with a port from 1 to 65535, or the absolute path of a socket, "
        "where /metrics is served; "
        "empty for no metrics",
    )
    loop_lag_warning_ms: int = Field(
        100,
        ge=1,
        le=60_000,
        description="the milliseconds of event-loop lag that are logged as a warning, 1 to 60000",
    )
    sentry_dsn: SecretStr | None = Field(None, description="the address of the Sentry project")
    otel_endpoint: str = Field(
        "",
        pattern=r"^(|https?://[^\s@]{1,200})$",
        description="the address of an OTLP collector (HTTP), no password; empty for no traces",
    )
