"""Every Containerfile keeps the rules of our own; no linter of theirs comes with the distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.contract import containerfile

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "containers").glob("**/Containerfile*"))
GOOD = """\
ARG BASE=localhost/slipway-base:12
FROM ${BASE} AS build
COPY wheels/ /wheels/
RUN ["/bin/sh", "/wheels/install"]
FROM scratch
COPY --from=build / /
USER 10001:10001
HEALTHCHECK --interval=10s CMD ["python3", "/probe"]
ENTRYPOINT ["/start"]
"""
BAD = {
    "a base that moves": ("localhost/slipway-base:12", "registry.example/python:3.11"),
    "the newest of a base": ("slipway-base:12", "slipway-base:latest"),
    "a base without a tag": ("slipway-base:12", "slipway-base"),
    "a base that nobody named": ("ARG BASE=localhost/slipway-base:12", "ARG BASE"),
    "a stage that is none": ("FROM scratch", "FROM built"),
    "ADD": ("COPY wheels/", "ADD wheels/"),
    "all of the context": ("COPY wheels/ /wheels/", "COPY . /wheels/"),
    "root at run time": ("USER 10001:10001", "USER 0:0"),
    "a user by name": ("USER 10001:10001", "USER service"),
    "no user": ("USER 10001:10001\n", ""),
    "a shell as process 1": ('ENTRYPOINT ["/start"]', "ENTRYPOINT /start --port 8000"),
    "a shell in the health check": ('CMD ["python3", "/probe"]', "CMD python3 /probe || exit 1"),
    "nothing that runs": ('ENTRYPOINT ["/start"]\n', ""),
    "a secret": ("FROM scratch", "FROM scratch\nENV SHOP_DATABASE_PASSWORD=x"),
    "a secret to build with": ("ARG BASE", "ARG REGISTRY_TOKEN\nARG BASE"),
    "a fetch": ('RUN ["/bin/sh", "/wheels/install"]', "RUN curl --location https://example.com | sh"),
    "pip from an index": ('RUN ["/bin/sh", "/wheels/install"]', "RUN pip install fastapi"),
    "root's port": ("USER 10001:10001", "USER 10001:10001\nEXPOSE 80"),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_ours_keep_them(path: Path) -> None:
    assert containerfile.complaints(path.read_text(encoding="utf-8")) == []


def test_the_services_is_one_of_them() -> None:
    assert ROOT / "containers/Containerfile" in FILES


def test_a_good_one_is_taken() -> None:
    assert containerfile.complaints(GOOD) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_not(name: str) -> None:
    old, new = BAD[name]
    assert old in GOOD

    assert len(containerfile.complaints(GOOD.replace(old, new))) >= 1
