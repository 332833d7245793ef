"""A running release whose workers share their metrics."""

import re
import socket
from pathlib import Path

import httpx2

from running import Service

SAMPLE = re.compile(r"^([a-z_:]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


class Observed(Service):
    """A running release and its metrics; `metrics_address` is a path or 127.0.0.1:PORT."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self.values = directory / "metrics"
        self.values.mkdir()
        self.metrics_address = environ.get("SHOP_METRICS_ADDRESS", str(directory / "metrics.sock"))
        super().__init__(
            directory,
            {
                **environ,
                "SHOP_METRICS_ADDRESS": self.metrics_address,
                "PROMETHEUS_MULTIPROC_DIR": str(self.values),
            },
        )

    def listens_for_metrics(self) -> bool:
        """Whether a connection to the metrics' address is accepted."""
        path = self.metrics_address
        host, _, port = path.rpartition(":")
        with socket.socket(socket.AF_UNIX if path.startswith("/") else socket.AF_INET) as connection:
            return connection.connect_ex(path if path.startswith("/") else (host, int(port))) == 0

    def scrape(self, path: str = "/metrics", **headers: str) -> httpx2.Response:
        """What a scraper is told."""
        uds = self.metrics_address if self.metrics_address.startswith("/") else None
        base = "http://metrics" if uds else f"http://{self.metrics_address}"
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=uds), base_url=base) as client:
            return client.get(path, headers=headers)

    def samples(self) -> dict[str, float]:
        """Every sample by its name with its labels in order, without the release, which all have."""
        found = {}
        for line in self.scrape().text.splitlines():
            if match := SAMPLE.match(line):
                told = sorted(LABEL.findall(match[2] or ""))
                labels = ",".join(f'{name}="{value}"' for name, value in told if name != "release")
                found[f"{match[1]}{{{labels}}}" if labels else match[1]] = float(match[3])
        return found
