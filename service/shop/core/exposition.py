"""/metrics on an address of its own: one worker of a release serves it, for all of them."""

import fcntl
import glob
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
import structlog
import uvicorn
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shop.core.metrics import metrics
from shop.core.needs import shared_directory
from shop.core.process import ProcessFamilies, is_sibling
from shop.settings import Settings

LEADER_LOCK = "leader.lock"
LEADER_INTERVAL = 0.5
RETRY_SECONDS = 5.0

log = structlog.get_logger("shop.metrics")


def workers_alive(directory: str) -> list[int]:
    """The workers that keep values in `directory`; gauges of those that died are removed on the way."""
    pids = {int(path.rpartition("_")[2].removesuffix(".db")) for path in glob.glob(f"{directory}/*_*.db")}
    alive = {pid for pid in pids if is_sibling(pid)}
    for pid in pids - alive:
        mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]
    return sorted(alive)


class _Everything(Collector):
    """The values of all workers, then those that only the asking worker can tell.

    Each has the release as a label: the counters of one that a rollback makes live again go on from where
    they stood, which would be a burst of requests in a series that another release counted in meanwhile.
    """

    def __init__(self, release: str, others: Sequence[Collector]) -> None:
        self.release = release
        self.processes = ProcessFamilies(release)
        self.others = others

    def collect(self) -> Iterable[Metric]:
        own = {"release": self.release}
        for metric in self._found():
            metric.samples = [each._replace(labels={**each.labels, **own}) for each in metric.samples]
            yield metric

    def _found(self) -> Iterable[Metric]:
        if directory := shared_directory():
            self.processes.pids = workers_alive(directory)
            yield from MultiProcessCollector(None, directory).collect()  # type: ignore[no-untyped-call]
        else:
            yield from metrics().registry.collect()
        yield from self.processes.collect()
        for other in self.others:
            yield from other.collect()


class MetricsApp:
    """Answers GET /metrics in the text format or OpenMetrics, as Accept asks; nothing else is here."""

    def __init__(
        self, release: str, others: Sequence[Collector], before: Callable[[], Awaitable[object]]
    ) -> None:
        self.everything = _Everything(release, others)
        self.before = before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._response(Request(scope)))(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        if request.scope["path"] != "/metrics":
            return Response("Metrics are at /metrics.\n", 404, media_type="text/plain")
        if request.method not in ("GET", "HEAD"):
            return Response("Metrics are read with GET.\n", 405, {"Allow": "GET, HEAD"})
        await self.before()
        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        # In a thread, because adding up the files of many workers takes milliseconds.
        body = await anyio.to_thread.run_sync(encoder, self.everything)
        return Response(body, headers={"Content-Type": content_type})


def _listen(address: str) -> socket.socket:
    place: str | tuple[str, int]
    if address.startswith("/"):
        # Only the leader is here: what lies there is a dead leader's.
        with suppress(FileNotFoundError):
            os.unlink(address)
        family, place = socket.AF_UNIX, address
    else:
        host, _, port = address.rpartition(":")
        family, place = socket.AF_INET, (host, int(port))
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        if family == socket.AF_UNIX:
            os.chmod(address, 0o666)  # noqa: S103 - the directory guards it, as it guards the service's own
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


async def _serve(app: MetricsApp, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    # Not Server.serve(): the signals of this process belong to the service's own server.
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        await server.main_loop()
    finally:
        with anyio.CancelScope(shield=True):
            await server.shutdown(sockets=[listener])


@contextmanager
def _lock_file(directory: str) -> Iterator[int]:
    descriptor = os.open(os.path.join(directory, LEADER_LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _leading() -> AsyncIterator[None]:
    """Wait until no other worker of this release leads; the kernel frees the lock of one that dies."""
    directory = shared_directory()
    if directory is None:
        yield
        return
    with _lock_file(directory) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await anyio.sleep(LEADER_INTERVAL)
        yield


async def expose_metrics(
    settings: Settings, others: Sequence[Collector], before: Callable[[], Awaitable[object]]
) -> None:
    """Serve /metrics at settings.metrics_address whenever this worker leads, until cancelled.

    `others` are collected beside the service's instruments, `before` is awaited ahead of each answer. An
    address that cannot be used is logged and tried again: it is no reason to stop serving the shop.
    """
    app = MetricsApp(settings.release, others, before)
    while True:
        try:
            async with _leading():
                listener = _listen(settings.metrics_address)
                log.info("metrics_served", address=settings.metrics_address)
                await _serve(app, listener)
        except OSError as error:
            log.warning("metrics_not_served", address=settings.metrics_address, reason=str(error))
        await anyio.sleep(RETRY_SECONDS)
