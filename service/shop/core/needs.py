"""What the settings need of the process. Few imports: every start asks before anything else."""

import importlib.util
import os

from shop.core.configuration import ConfigurationError
from shop.settings import Settings

OTEL_PACKAGES = (
    "opentelemetry.sdk",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.sqlalchemy",
)


def shared_directory() -> str | None:
    """The directory in which all workers of this release keep their values; None when it is memory."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR") or None


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def require_what_is_set(settings: Settings) -> None:
    """Raise ConfigurationError when a setting asks for what this process does not have."""
    sentences = []
    if settings.sentry_dsn and not _is_installed("sentry_sdk"):
        sentences.append(
            "The credential sentry_dsn is set, but this release lacks the package sentry-sdk: remove the "
            "credential, or build the release with the extra sentry."
        )
    if settings.otel_endpoint and not all(_is_installed(package) for package in OTEL_PACKAGES):
        sentences.append(
            f"SHOP_OTEL_ENDPOINT is {settings.otel_endpoint!r}, but this release lacks OpenTelemetry's "
            "packages: leave the setting empty, or build the release with the extra otel."
        )
    directory = shared_directory()
    if settings.metrics_address and directory is None and settings.workers > 1:
        sentences.append(
            f"SHOP_METRICS_ADDRESS is set and SHOP_WORKERS is {settings.workers}: set "
            "PROMETHEUS_MULTIPROC_DIR to a directory, empty at every start, in which the "
            "workers share their numbers."
        )
    if settings.metrics_address and directory is not None and not os.access(directory, os.W_OK | os.X_OK):
        sentences.append(
            f"PROMETHEUS_MULTIPROC_DIR is {directory!r}, which is not a directory that can be "
            "written: make it."
        )
    if sentences:
        raise ConfigurationError(sentences)
