"""`slipway metrics`: this host's own truth, on standard output or for node-exporter; changes nothing else."""

from __future__ import annotations

import time
from pathlib import Path

from slipway.errors import SlipwayError, StepError
from slipway.metrics import exposition, of_the_host, of_the_logs, of_the_service
from slipway.metrics.exposition import Sample
from slipway.turns.session import Report, Session
from slipway.upkeep.status import status

# Who deploys may call this as root, so where it writes is nobody's to say.
FOLDER = "/var/lib/prometheus/node-exporter"


def metrics(session: Session, write: bool) -> Report:
    """write: into the textfile folder, in one step. Raises StepError when that fails, or status does."""
    host = session.host
    of_service, unseen = _of_the_service(session)
    samples = [
        *of_service,
        *of_the_host.samples(host),
        *of_the_logs.samples(host),
        ("slipway_metrics_timestamp_seconds", {}, time.time()),
    ]
    text = exposition.encoded(samples, host.app)
    path = host.path(f"{FOLDER}/slipway-{host.app}.prom")
    if write:
        _written(path, text)
    if unseen:
        told = f" {path} says that the live release is not ready, and all of the host." if write else ""
        raise StepError(
            "service-unseen", f"{host.app} could not be looked at: {unseen.message}{told}"
        ) from unseen
    if not write:
        return Report(False, {"metrics": text, "samples": len(samples)}, text.rstrip("\n"))
    return Report(
        False, {"written": str(path), "samples": len(samples)}, f"{len(samples)} samples are in {path}."
    )


def _of_the_service(session: Session) -> tuple[list[Sample], SlipwayError | None]:
    """Where status refuses, its refusal, and in place of all it knows that nothing is ready: that alone is judged."""
    if not session.host.releases.is_dir():
        return [], None
    try:
        return list(of_the_service.samples(session.host, status(session).result)), None
    except SlipwayError as failure:
        return [("slipway_release_ready", {}, False)], failure


def _written(path: Path, text: str) -> None:
    try:
        exposition.write(path, text)
    except OSError as failure:
        raise StepError(
            "metrics-unwritten",
            f"{path} could not be written ({failure.strerror}); what it said before stands, and grows old.",
        ) from None
