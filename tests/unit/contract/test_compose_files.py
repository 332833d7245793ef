"""The compose files: every service as small as it can be, nothing open that need not be, and no key of old."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.unit.contract.repository import ROOT

PRODUCTION, DEVELOPMENT = "compose.production.yaml", "compose.yaml"
NUMERIC = re.compile(r"[1-9][0-9]*:[1-9][0-9]*")
# Of compose's first edition, or of a cluster that is none here.
OBSOLETE = {"version", "links", "deploy", "container_name", "privileged"}


def read(name: str) -> dict[str, Any]:
    text = (ROOT / "containers" / name).read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


SERVICES = [(name, service) for name in (PRODUCTION, DEVELOPMENT) for service in read(name)["services"]]
each = pytest.mark.parametrize(("name", "service"), SERVICES, ids=["/".join(pair) for pair in SERVICES])
in_production = pytest.mark.parametrize("service", read(PRODUCTION)["services"])


@each
def test_a_service_has_no_more_than_it_needs(name: str, service: str) -> None:
    said = read(name)["services"][service]

    assert said["read_only"] is True
    assert said["cap_drop"] == ["ALL"]
    assert said["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in said
    # The database's is the inventory's, because an image of a registry has a user of its own.
    stated = re.sub(r"\$\{SLIPWAY_POSTGRESQL_USER(:-)?(.*)\}", r"\2", said["user"]) or "10003:10001"
    assert NUMERIC.fullmatch(stated)
    assert said["mem_limit"]
    assert said["pids_limit"] <= 256
    assert {"nofile", "nproc", "core"} <= said["ulimits"].keys()


@each
def test_no_image_may_be_another_tomorrow_and_no_key_is_of_old(name: str, service: str) -> None:
    whole = read(name)
    said = whole["services"][service]

    assert not OBSOLETE & (whole.keys() | said.keys())
    assert said.get("network_mode", "none") == "none"
    assert said["image"].startswith("${SLIPWAY_")
    assert "latest" not in said["image"]
    assert "build" not in said
    # As an exec form: no shell is process 1.
    assert all(isinstance(said.get(key, []), list) for key in ("entrypoint", "command"))


@in_production
def test_in_production_a_service_ends_in_time_and_fills_no_disk(service: str) -> None:
    said = read(PRODUCTION)["services"][service]

    assert said["stop_grace_period"] or service == "cache"
    assert said["logging"]["options"]["max-size"]
    assert said["memswap_limit"] == said["mem_limit"]
    assert said["restart"] == ("no" if service in ("migrate", "traffic") else "unless-stopped")


def test_in_production_the_edge_alone_is_published_and_shares_no_network() -> None:
    services = read(PRODUCTION)["services"]

    assert [name for name, said in services.items() if said.get("ports")] == ["edge"]
    assert services["edge"]["networks"] == ["outside"]
    assert {tuple(said.get("networks", [])) for name, said in services.items() if name != "edge"} == {
        ("inside",),
        (),
    }
    assert read(PRODUCTION)["networks"]["inside"] == {"internal": True}


def test_in_production_a_secret_is_a_file_and_no_variable() -> None:
    whole = read(PRODUCTION)

    assert all(set(said) == {"file"} for said in whole["secrets"].values())
    for name, said in whole["services"].items():
        variables = said.get("environment", {})
        assert not [key for key in variables if re.search("PASSWORD|SECRET|KEY|TOKEN", key)], name


def test_in_production_the_service_waits_for_a_schema_and_the_edge_for_a_service() -> None:
    services = read(PRODUCTION)["services"]

    for slot in ("api-1", "api-2"):
        assert services[slot]["depends_on"] == {
            "database": {"condition": "service_healthy"},
            "cache": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }
    assert services["edge"]["depends_on"] == {"traffic": {"condition": "service_completed_successfully"}}
