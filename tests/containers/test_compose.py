"""The production compose file, up: it answers, who reaches whom, and what becomes of it when something dies."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.containers.production import SLOTS, Customers, Production

PRODUCTS = "/api/v1/products"
SERVICES = (*SLOTS, "database", "cache", "edge")
pytestmark = [pytest.mark.long, pytest.mark.containers]


def _order(production: Production, customers: Customers, product: str) -> int:
    body = json.dumps({"items": [{"product_id": product, "quantity": 1}]}).encode()
    headers = {
        "Authorization": f"Bearer {customers.token}",
        "Idempotency-Key": f"slow-{time.time_ns()}",
        "Content-Type": "application/json",
    }
    path = f"/api/v1/accounts/{customers.account}/orders"
    return production.site.request("POST", path, headers, body).status


@pytest.mark.share
def test_an_answer_comes_from_postgresql_14_through_the_edge_over_tls(production: Production) -> None:
    with production.database() as session:
        session.execute(
            "INSERT INTO shop.products (id, sku, name, category, price, stock) "
            "VALUES ('00000000-0000-4000-8000-000000000014', 'FOURTEEN', 'Fourteen', 'test', 14.00, 14)"
        )
        assert session.info.server_version // 10000 == 14

    said = production.site.get(f"{PRODUCTS}/00000000-0000-4000-8000-000000000014")

    assert said.status == 200, said
    assert said.json()["sku"] == "FOURTEEN"
    assert said.headers["X-Release"] == production.shop.bundle.release
    assert said.headers["Strict-Transport-Security"]


@pytest.mark.share
def test_no_container_is_root_writes_to_its_image_or_has_a_capability(production: Production) -> None:
    for service in SERVICES:
        found = production.container(service)
        status = Path(f"/proc/{found['State']['Pid']}/status")
        text = production.engine.run("cat", status).stdout
        said = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        limits = found["HostConfig"]

        assert "0" not in said["Uid"].split(), service
        assert int(said["CapBnd"], 16) == int(said["CapEff"], 16) == 0, service
        assert said["NoNewPrivs"] == "1", service
        assert said["Seccomp"] == "2", service
        assert limits["ReadonlyRootfs"], service
        assert 0 < limits["Memory"] <= 2**30, service
        assert 0 < limits["PidsLimit"] <= 256, service


@pytest.mark.share
def test_the_edge_has_no_way_to_the_database_and_nothing_else_is_published(production: Production) -> None:
    networks = {name: production.container(name)["NetworkSettings"]["Networks"] for name in SERVICES}
    address = next(iter(networks["database"].values()))["IPAddress"]

    tried = production.engine.run(
        "podman", "exec", "shop-edge-1", "timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{address}/5432"
    )

    assert tried.returncode != 0, "the edge reached the database"
    assert not set(networks["edge"]) & set(networks["database"])
    listening = production.engine.run("ss", "--tcp", "--listening", "--numeric", "--no-header").stdout
    published = [
        line.split()[3] for line in listening.splitlines() if "127.0.0.1:8443" in line or "0.0.0.0" in line
    ]
    assert published == ["127.0.0.1:8443"], listening


def test_secrets_are_made_once_for_the_containers_group_and_are_in_no_containers_settings(
    production: Production,
) -> None:
    folder = production.folder / "state/secrets"
    before = {path.name: path.read_text() for path in folder.iterdir()}
    (folder / "secret_key").chmod(0o600)
    refused = production.fab("image-deploy", f"--to={production.shop.bundle.release}")

    production.make_secrets()

    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "mode 0600, not 0:10001 and 0440" in refused.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert {(path.stat().st_gid, path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        (10001, 0o440)
    }
    for service in SERVICES:
        text = json.dumps(production.container(service))
        assert not [name for name, secret in before.items() if secret in text], service


def test_a_container_that_is_killed_comes_back_and_nobody_who_asks_meanwhile_waits_for_it(
    production: Production,
) -> None:
    before = production.container("api-1")["State"]["Pid"]
    production.engine.run("kill", "-9", str(before))

    answers = [production.site.get(f"{PRODUCTS}?limit={number}").status for number in range(1, 20)]

    assert set(answers) == {200}
    production.wait(
        lambda: production.container("api-1")["State"]["Pid"] not in (0, before), "api-1 runs again"
    )
    production.wait(lambda: _asked(production, "api-1"), "api-1 answers again")


def _asked(production: Production, slot: str) -> bool:
    said = json.loads(
        production.compose("run", "--rm", "--no-deps", "-T", "traffic", "ask", slot).splitlines()[-1]
    )
    return bool(said["status"] == 200 and said["open"])


# The kernel ends the server first, as if it had taken the memory itself.
TAKES_ALL = """
import glob, os
for place in glob.glob("/proc/[0-9]*/oom_score_adj"):
    if place.split("/")[2] != str(os.getpid()):
        with open(place, "w") as score:
            score.write("1000")
taken = bytearray(1 << 30)
"""


def test_one_that_takes_too_much_memory_is_ended_alone_and_comes_back(production: Production) -> None:
    before = {service: production.container(service)["State"]["Pid"] for service in SERVICES}
    taken = production.engine.run("podman", "exec", "shop-api-2-1", "python", "-c", TAKES_ALL, seconds=120)

    assert taken.returncode == 137, f"{taken.returncode} {taken.stdout}{taken.stderr}"
    assert production.site.get(f"{PRODUCTS}?limit=7").status == 200
    production.wait(lambda: _asked(production, "api-2"), "api-2 answers")
    after = {service: production.container(service)["State"]["Pid"] for service in SERVICES}
    assert {name for name in SERVICES if after[name] != before[name]} == {"api-2"}


def test_a_database_that_restarts_is_a_503_with_retry_after_and_then_an_answer(
    production: Production,
) -> None:
    ended: list[int] = []
    seen = []
    restarting = threading.Thread(
        target=lambda: ended.append(production.engine.run("podman", "restart", "shop-database-1").returncode)
    )
    restarting.start()
    number = 0
    while restarting.is_alive() or number < 10:
        number += 1
        seen.append(production.site.get(f"{PRODUCTS}?limit={1 + number % 90}"))
        time.sleep(0.05)
    restarting.join()

    assert ended == [0]
    assert {said.status for said in seen} <= {200, 503}
    away = [said for said in seen if said.status == 503]
    assert away, "the restart was not seen"
    assert all(said.headers["Retry-After"] for said in away)
    production.wait(
        lambda: production.site.get(f"{PRODUCTS}?limit=99").status == 200, "the service answers again"
    )


def test_a_slow_order_is_answered_by_containers_that_are_told_to_end(production: Production) -> None:
    customers = production.customers(1)
    (product,) = customers.products
    answers: list[int] = []
    servers = [str(production.container(slot)["State"]["Pid"]) for slot in SLOTS]
    with production.database() as watching, production.database() as session, session.transaction():
        session.execute("SELECT 1 FROM shop.products WHERE id = %s FOR UPDATE", (product,))
        ordering = threading.Thread(target=lambda: answers.append(_order(production, customers, product)))
        ordering.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop' AND wait_event_type = 'Lock'"
        production.wait(
            lambda: (watching.execute(waiting).fetchone() or (0,))[0] == 1, "the order waits for the row"
        )
        production.engine.run("kill", "-TERM", *servers)
        # The service waits for a row for three seconds.
        time.sleep(0.5)
        assert not answers
    ordering.join()

    assert answers == [201]
    assert customers.orders() == 1
    for slot, server in zip(SLOTS, servers, strict=True):
        production.wait(partial(_restarted, production, slot, server), f"{slot} runs again")
    production.wait(production.site.ready, "the service answers again")


def _restarted(production: Production, slot: str, before: str) -> bool:
    return str(production.container(slot)["State"]["Pid"]) not in ("0", before)


def test_down_leaves_the_data(production: Production) -> None:
    with production.database() as session:
        session.execute(
            "INSERT INTO shop.products (id, sku, name, category, price, stock) "
            "VALUES ('00000000-0000-4000-8000-0000000000d0', 'STAYS', 'Stays', 'test', 1.00, 1)"
        )
    production.compose("down")
    kept = production.engine.podman("volume", "ls", "--quiet").split()

    production.compose("up", "--detach")

    assert "shop_database" in kept
    path = f"{PRODUCTS}/00000000-0000-4000-8000-0000000000d0"
    production.wait(lambda: production.site.get(path).status == 200, "the product is there")
