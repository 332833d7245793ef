"""fab image-deploy: another release in both containers while customers order, or everything as it was."""

from __future__ import annotations

import json
import time

import pytest

from tests.containers.production import BROKEN, Production

# Few: on a machine that others use a commit may take a second, and who waits three for a row is answered 503.
CLIENTS, RATE = 4, 10.0
pytestmark = [pytest.mark.long, pytest.mark.containers]


@pytest.mark.share
def test_both_containers_are_replaced_under_load_and_no_order_is_lost(production: Production) -> None:
    release = production.release(1)
    customers = production.customers(CLIENTS)
    with customers.load(RATE) as load:
        production.deploy(release)
        time.sleep(1.0)

    print(load.seen, f"longest gap {load.seen.gap_ms():.0f} ms")
    load.seen.lost_nothing()
    assert customers.keys() == {answer.key for answer in load.seen.answers}
    assert production.releases() == [release, release]
    assert load.seen.last_from(release) > load.seen.last_from(production.shop.bundle.release) > 0


def test_the_release_before_is_live_again_without_a_lost_order(production: Production) -> None:
    production.deploy(production.release(1))
    customers = production.customers(CLIENTS)
    with customers.load(RATE) as load:
        production.deploy(production.release(2))
        done = production.fab("image-rollback")

    assert done.returncode == 0, done.stdout + done.stderr
    load.seen.lost_nothing()
    assert production.releases() == [production.release(1)] * 2


def test_a_release_that_cannot_start_is_taken_back_and_no_order_is_lost(production: Production) -> None:
    production.deploy(production.shop.bundle.release)
    broken = production.release(3, BROKEN)
    customers = production.customers(CLIENTS)
    with customers.load(RATE) as load:
        done = production.fab("image-deploy", f"--to={broken}", "--gate=5")

    assert done.returncode == 3, done.stdout + done.stderr
    assert "It cannot start." in done.stderr
    assert (
        f"{broken} was taken back. It serves what it served: api-1 {production.shop.bundle.release}"
        in done.stderr
    )
    load.seen.lost_nothing()
    assert production.releases() == [production.shop.bundle.release] * 2


def test_two_at_once_are_one_and_a_sentence(production: Production) -> None:
    first = production.begin("image-deploy", f"--to={production.release(4)}")
    production.wait(
        lambda: "process" in (production.folder / "state/lock").read_text(), "the first has its turn"
    )
    time.sleep(1.0)

    second = production.fab("image-deploy", f"--to={production.shop.bundle.release}")
    said, _ = first.communicate(timeout=300)

    assert second.returncode == 4, second.stdout + second.stderr
    assert "The containers are being changed by" in second.stderr
    assert first.returncode == 0, said
    assert production.releases() == [production.release(4)] * 2


@pytest.mark.parametrize("step", ["begin", "replace api-1", "replace api-2"])
@pytest.mark.parametrize("after", ["image-deploy", "image-rollback"])
def test_one_that_is_killed_is_finished_or_taken_back_by_the_next(
    production: Production, step: str, after: str
) -> None:
    before, release = production.shop.bundle.release, production.release(5)
    production.deploy(before)
    journal = production.folder / "state/journal.jsonl"
    known = len(journal.read_text().splitlines())

    def reached() -> bool:
        rows = [json.loads(line) for line in journal.read_text().splitlines()[known:]]
        return step in {f"{row['step']} {row.get('container', '')}".strip() for row in rows}

    running = production.begin("image-deploy", f"--to={release}")
    production.wait(reached, step)
    time.sleep(1.0)
    holder = (production.folder / "state/lock").read_text()
    production.engine.run("kill", "-9", holder.partition("process ")[2].partition(",")[0])
    running.communicate(timeout=60)

    assert production.site.get("/api/v1/products?limit=3").status == 200, "nobody answered in between"
    done = production.fab(after, *([f"--to={release}"] if after == "image-deploy" else []))

    assert done.returncode == 0, done.stdout + done.stderr
    assert production.releases() == [release if after == "image-deploy" else before] * 2
    assert production.site.get("/api/v1/products?limit=3").status == 200
