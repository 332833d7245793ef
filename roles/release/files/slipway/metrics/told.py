"""`slipway metrics`: this host's own truth, on standard output or for node-exporter; changes nothing else."""

from __future__ import annotations

import time

from slipway.errors import StepError
from slipway.metrics import exposition, of_the_host, of_the_service
from slipway.turns.session import Report, Session
from slipway.upkeep.status import status

# Who deploys may call this as root, so where it writes is nobody's to say.
FOLDER = "/var/lib/prometheus/node-exporter"


def metrics(session: Session, write: bool) -> Report:
    """write: into the textfile folder, in one step. Raises StepError where that cannot be."""
    host = session.host
    samples = [
        *(of_the_service.samples(host, status(session).result) if host.releases.is_dir() else ()),
        *of_the_host.samples(host),
        ("slipway_metrics_timestamp_seconds", {}, time.time()),
    ]
    text = exposition.encoded(samples, host.app)
    if not write:
        return Report(False, {"metrics": text, "samples": len(samples)}, text.rstrip("\n"))
    path = host.path(f"{FOLDER}/slipway-{host.app}.prom")
    try:
        exposition.write(path, text)
    except OSError as failure:
        raise StepError(
            "metrics-unwritten",
            f"{path} could not be written ({failure.strerror}); what it said before stands, and grows old.",
        ) from None
    return Report(
        False, {"written": str(path), "samples": len(samples)}, f"{len(samples)} samples are in {path}."
    )
