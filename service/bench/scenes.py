"""What is measured, scene by scene. A is raw Starlette, B the synchronous template, S the service."""

import statistics
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from bench.customer import PLENTY, Customer
from bench.measure import Load, Request, Score, Slice, difference, interleave, measure, score
from bench.report import Finding, at_least, at_most
from bench.servers import PRODUCTS, Server, Stage, product_id, resident_bytes
from bench.wire import Relay

PATH = "/api/v1/products"
PAGE_SIZE = 20
ORDERING_CLIENTS = 20
# Seconds after which each half of the soak ends, on a machine too busy for all its requests.
LONGEST_SOAK = 60
ONE_CONNECTION = {"SHOP_DATABASE_POOL_SIZE": "1", "SHOP_DATABASE_MAX_OVERFLOW": "0"}
PRODUCT = [{"path": f"{PATH}/{product_id(number)}"} for number in range(1, PRODUCTS, 97)]
LIST = [{"path": f"{PATH}?limit={PAGE_SIZE}"}]


@dataclass(frozen=True)
class Plan:
    """How much is measured: rounds of slices, seconds of a slice, requests that show the memory's growth."""

    rounds: int
    seconds: float
    requests: int


def _page(number: int) -> list[Request]:
    """The page with this number: it starts below the last product of the page before."""
    last = PRODUCTS - (number - 1) * PAGE_SIZE + 1
    return [{"path": f"{PATH}?limit={PAGE_SIZE}&last_id={product_id(last)}"}]


def _medians(slices: dict[str, list[Slice]]) -> str:
    """CPU µs of each server and of PostgreSQL for it, answers a second."""
    return ", ".join(
        f"{letter} {statistics.median(one.server_us for one in measured):.0f}"
        f"+{statistics.median(one.database_us for one in measured):.0f} µs"
        f" {statistics.median(one.rate for one in measured):.0f}/s"
        for letter, measured in slices.items()
    )


def _ratio(slices: dict[str, list[Slice]], above: str, below: str) -> Score:
    return score([one.server_us for one in slices[above]], [one.server_us for one in slices[below]])


def _body(server: Server, path: str) -> object:
    with httpx2.Client(
        transport=httpx2.HTTPTransport(uds=server.socket), base_url="http://shop.test"
    ) as client:
        return client.get(path).raise_for_status().json()


def check_bodies(servers: Sequence[Server]) -> None:
    """Refuse to compare servers that do not give the same answers."""
    for request in (PRODUCT[0], LIST[0], _page(500)[0]):
        bodies = [_body(server, str(request["path"])) for server in servers]
        if any(body != bodies[0] for body in bodies):
            raise RuntimeError(f"The servers answer {request['path']} differently:\n{bodies}")


def reads(stage: Stage, load: Load, servers: Sequence[Server], plan: Plan) -> list[Finding]:
    """The CPU time of reads, compared with both baselines."""
    check_bodies(servers)
    findings = []
    for what, requests, target in (
        ("liveness", [{"path": "/health/live"}], 3.5),
        ("product by id", PRODUCT, 2.6),
        (f"list of {PAGE_SIZE}", LIST, 2.4),
    ):
        slices = interleave(load, stage.database, servers, requests, rounds=plan.rounds, seconds=plan.seconds)
        raw = _ratio(slices, "S", "A")
        findings.append(at_most(f"{what}: CPU of S / A", raw, target, "x", _medians(slices)))
        if what != "liveness":
            findings.append(at_least(f"{what}: CPU of B / S", _ratio(slices, "B", "S"), 4, "x"))
    return findings


def observability(stage: Stage, load: Load, service: Server, plan: Plan) -> list[Finding]:
    """The request middleware on and off."""
    bare = stage.server("0", "unobserved", "bench.variants:without_observability")
    slices = interleave(
        load, stage.database, [service, bare], PRODUCT, rounds=plan.rounds, seconds=plan.seconds
    )
    bare.stop()
    cost = difference([one.server_us for one in slices["S"]], [one.server_us for one in slices["0"]])
    return [at_most("ids, access line and metrics: CPU of S", cost, 25, " µs", _medians(slices))]


def pages(stage: Stage, load: Load, service: Server, plan: Plan) -> list[Finding]:
    """Page 500 against page 1, PostgreSQL's CPU time included."""
    pairs: list[tuple[Slice, Slice]] = []
    for _ in range(plan.rounds):
        far = measure(load, stage.database, service, _page(500), plan.seconds)
        near = measure(load, stage.database, service, _page(1), plan.seconds)
        if far and near:
            pairs.append((far, near))
    total = score(
        [far.server_us + far.database_us for far, _ in pairs],
        [near.server_us + near.database_us for _, near in pairs],
    )
    latency = score([far.p50_ms for far, _ in pairs], [near.p50_ms for _, near in pairs])
    return [
        at_most("page 500 / page 1: CPU of S and PostgreSQL", total, 1.15, "x"),
        at_most("page 500 / page 1: median latency", latency, 1.15, "x"),
    ]


def orders(stage: Stage, load: Load, customer: Customer, plan: Plan) -> list[Finding]:
    """Twenty clients on one product: the rate, then a stock that runs out."""
    pool = {"SHOP_DATABASE_POOL_SIZE": str(ORDERING_CLIENTS), "SHOP_DATABASE_MAX_OVERFLOW": "0"}
    raw = stage.server(
        "A",
        "raw-orders",
        "bench.baselines.raw_starlette:application",
        BENCH_USER_ID=str(customer.user_id),
        **pool,
    )
    service = stage.server("S", "service-orders", "shop.main:application", **pool)
    customer.stock(PLENTY)
    slices = interleave(
        load,
        stage.database,
        [raw, service],
        [customer.order()],
        rounds=plan.rounds,
        seconds=plan.seconds,
        clients=ORDERING_CLIENTS,
    )
    rate = score([100 * one.rate for one in slices["S"]], [one.rate for one in slices["A"]])
    findings = [at_least("orders of one product: rate of S / A", rate, 60, " %", _medians(slices))]
    stock, demand = 300, 500
    before = customer.state()["sold"]
    customer.stock(stock)
    seen = load.run(service, [customer.order()], clients=ORDERING_CLIENTS, count=demand)
    state = customer.state()
    sold, refused = state["sold"] - before, seen["statuses"].get("409", 0)
    exact = (sold, state["stock"], refused) == (stock, 0, demand - stock)
    findings.append(
        Finding(
            f"{demand} orders for {stock} pieces",
            f"{sold} sold",
            target=f"{stock} sold, {demand - stock} refused",
            met=exact,
            detail=f"answers {seen['statuses']}, {state['stock']} left",
        )
    )
    raw.stop()
    service.stop()
    return findings


def round_trips(stage: Stage, load: Load, customer: Customer) -> list[Finding]:
    """What one request sends to PostgreSQL, counted between the two."""
    cluster = stage.database.cluster
    directory = stage.directory / "relay"
    directory.mkdir()
    customer.stock(PLENTY)
    findings = []
    with Relay(directory, cluster.socket_directory, cluster.port) as relay:
        server = stage.server(
            "S", "counted", "shop.main:application", SHOP_DATABASE_HOST=str(directory), **ONE_CONNECTION
        )
        for what, requests, target in (
            ("product by id", PRODUCT[:20], 1),
            (f"list of {PAGE_SIZE}", LIST, 1),
            ("order of one product", [customer.order()], 3),
        ):
            # The first ones prepare the statements and look up who is asking.
            load.run(server, requests, clients=1, count=20)
            began = relay.counts.round_trips, relay.counts.statements
            seen = load.run(server, requests, clients=1, count=100)
            trips = (relay.counts.round_trips - began[0]) / seen["answers"]
            statements = (relay.counts.statements - began[1]) / seen["answers"]
            findings.append(
                Finding(
                    f"{what}: round trips of S",
                    f"{trips:g}",
                    target=f"at most {target}",
                    met=trips <= target and set(seen["statuses"]) <= {"200", "201"},
                    detail=f"{statements:g} statements, answers {seen['statuses']}",
                )
            )
        server.stop()
    return findings


def disconnects(stage: Stage, load: Load, customer: Customer) -> list[Finding]:
    """Clients that cut their connection; one database connection that is not given back is enough to fail."""
    server = stage.server(
        "S", "abandoned", "shop.main:application", SHOP_DATABASE_POOL_TIMEOUT="5", **ONE_CONNECTION
    )
    customer.stock(PLENTY)
    abandoned = [*PRODUCT[:70], *LIST * 70, *[customer.order()] * 60]
    load.run(server, abandoned, abandon=True)
    time.sleep(1)
    seen = load.run(server, PRODUCT, clients=2, count=100)
    held = stage.database.fetch(
        "SELECT count(*) AS n FROM pg_stat_activity "
        "WHERE application_name = 'shop/abandoned' AND state <> 'idle'"
    )[0]["n"]
    server.stop()
    return [
        Finding(
            f"{len(abandoned)} clients that cut: connections lost",
            str(held),
            target="0",
            met=held == 0 and seen["statuses"] == {"200": 100},
            detail=f"a pool of one then answered {seen['statuses']}",
        )
    ]


def memory(stage: Stage, load: Load, plan: Plan) -> list[Finding]:
    """The memory of one worker after many requests, and how it grows over the second half of them."""
    server = stage.server("S", "soaked", "shop.main:application")
    mixed = [*PRODUCT[:300], *LIST * 60]
    began = time.monotonic()
    answers = load.run(server, mixed, count=plan.requests // 2, seconds=LONGEST_SOAK)["answers"]
    half = resident_bytes(server.pid)
    answers += load.run(server, mixed, count=plan.requests // 2, seconds=LONGEST_SOAK)["answers"]
    whole = resident_bytes(server.pid)
    seconds = time.monotonic() - began
    server.stop()
    growth = (whole - half) / 2**20
    return [
        Finding(
            f"memory of one worker after {answers} requests",
            f"{whole / 2**20:.0f} MB",
            target="at most 120 MB",
            met=whole <= 120 * 2**20,
            detail=f"{growth:+.1f} MB over the second half, {seconds:.0f} s in all",
        )
    ]


def start_baselines(stage: Stage) -> list[Server]:
    """A, S and B, in the order of the slices."""
    return [
        stage.server(
            "A", "raw", "bench.baselines.raw_starlette:application", BENCH_USER_ID=str(uuid.UUID(int=0))
        ),
        stage.server("S", "service", "shop.main:application"),
        stage.server("B", "template", "bench.baselines.sync_template:application"),
    ]
