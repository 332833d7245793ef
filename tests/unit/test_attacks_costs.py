"""What slipway reads of others costs in proportion to its length: four times as long is about four times as dear."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from slipway.command_line.values import PROCESS, SSHSIG
from slipway.database import migration_run
from slipway.errors import SlipwayError
from slipway.journal import chain
from slipway.releases import requirements, signers
from slipway.releases.bundle_archive import MEMBER
from slipway.releases.manifest import parse
from slipway.traffic import drain
from slipway.upkeep import record
from slipway.upkeep.record import KIND

from tests.unit.slipway import support

N = 20_000
HASH = "--hash=sha256:" + "a" * 64
# What is read, and a text of a length that is bad for careless expressions.
READERS: dict[str, tuple[Callable[[str], object], Callable[[int], str]]] = {
    "pin with spaces": (lambda text: requirements.parse(text.encode()), lambda n: "x==1;" + " " * n + "y"),
    "pin with hashes": (
        lambda text: requirements.parse(text.encode()),
        lambda n: f"x==1 {HASH} " * (n // 80),
    ),
    "continued lines": (lambda text: requirements.parse(text.encode()), lambda n: "\\\n" * n),
    "name of a pin": (lambda text: requirements.parse(text.encode()), lambda n: "a-_." * n + f" {HASH}"),
    "marker": (lambda text: requirements.parse(text.encode()), lambda n: "x==1;" + "(" * n + "! " + HASH),
    "member": (MEMBER.fullmatch, lambda n: "wheelhouse/" + "a." * n + "whx"),
    "kind": (KIND.fullmatch, lambda n: "a-" * n + "."),
    "signature": (SSHSIG.fullmatch, lambda n: "A" * n + "!"),
    "signer": (signers.LINE.fullmatch, lambda n: 'ada namespaces="slipway-bundle@shop" ssh-rsa ' + "A" * n),
    "process": (PROCESS.fullmatch, lambda n: "1@" + "a-" * n + "!"),
    "details": (record.parse, lambda n: "[" * n),
    "journal line": (lambda text: chain.parse(text.encode()), lambda n: '{"a":' * n),
    "migrator's line": (lambda text: migration_run.facts([text]), lambda n: "{" * n),
    "manifest": (lambda text: parse(text.encode(), "shop"), lambda n: "[" * n),
}


def seconds(read: Callable[[str], object], text: str) -> float:
    """Of this thread's CPU, the least of three."""
    tries = []
    for _ in range(3):
        began = time.thread_time()
        with suppress(SlipwayError, RecursionError):
            read(text)
        tries.append(time.thread_time() - began)
    return min(tries)


@pytest.mark.parametrize("name", READERS)
def test_four_times_the_length_is_not_sixteen_times_the_cost(name: str) -> None:
    read, text = READERS[name]
    short, long = seconds(read, text(N)), seconds(read, text(4 * N))

    assert long < 8 * short + 0.02, f"{N}: {short:.4f} s, {4 * N}: {long:.4f} s"


def test_of_nginxs_file_no_more_is_read_than_it_can_be_long(tmp_path: Path) -> None:
    host = support.make_host(tmp_path)
    host.private_server.write_text("#" * drain.SETTINGS_BYTES + json.dumps({}) + "\nlisten 127.0.0.1:22;\n")

    assert drain.private_port(host) is None
