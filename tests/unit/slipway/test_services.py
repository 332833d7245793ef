"""Several services on one host: which is meant, and that what is one service's is no other's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from slipway import services
from slipway.errors import SlipwayError
from slipway.host import Host
from slipway.traffic import before

RELEASE = "20261122T160501Z-3f2a9c1"


def service(root: Path, name: str, *releases: str) -> Host:
    """A service of the host below root, with these releases."""
    host = Host(name, root)
    host.settings.parent.mkdir(parents=True)
    host.settings.write_text("[release]\nsignatures_required = true\n")
    for release in releases:
        host.release(release).mkdir(parents=True)
    return host


def test_the_only_service_need_not_be_named(tmp_path: Path) -> None:
    service(tmp_path, "shop")

    assert services.chosen(None, ["status"], tmp_path) == "shop"
    assert services.chosen("shop", ["status"], tmp_path) == "shop"


def test_of_several_the_one_that_is_named_is_meant(tmp_path: Path) -> None:
    service(tmp_path, "shop")
    service(tmp_path, "stall")

    assert services.chosen("stall", ["status"], tmp_path) == "stall"
    with pytest.raises(SlipwayError, match="several services, shop and stall, and it was not said") as said:
        services.chosen(None, ["status"], tmp_path)
    assert "slipway --app=shop status" in str(said.value)


def test_a_release_says_whose_it_is(tmp_path: Path) -> None:
    service(tmp_path, "shop")
    service(tmp_path, "stall", RELEASE)

    # As the timer of a warm release asks that was set when there was one service.
    assert services.chosen(None, ["stop", RELEASE, "--unless-live"], tmp_path) == "stall"


@pytest.mark.parametrize("name", ["kiosk", "../shop", "", "shop/../shop"])
def test_a_service_that_is_not_here_is_refused(tmp_path: Path, name: str) -> None:
    service(tmp_path, "shop")

    with pytest.raises(SlipwayError, match="is no service of this host, which has shop"):
        services.chosen(name, ["status"], tmp_path)


def test_a_host_without_services_says_what_writes_them(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match=r"Run site\.yml"):
        services.chosen(None, ["status"], tmp_path)


def test_the_name_stands_ahead_of_the_command() -> None:
    assert services.split(["--app=shop", "status", "--json"]) == ("shop", ["status", "--json"])
    assert services.split(["--app", "shop", "status"]) == ("shop", ["status"])
    # What a command of the service's own is given is its own.
    assert services.split(["exec", "--", "x", "--app=shop"]) == (None, ["exec", "--", "x", "--app=shop"])


def test_two_services_have_no_path_unit_or_rule_in_common(tmp_path: Path) -> None:
    def of(host: Host) -> set[str]:
        names = {name for name in dir(Host) if isinstance(getattr(Host, name), property)} - {"access_log"}
        return {str(getattr(host, name)) for name in names} | {
            host.unit(RELEASE), host.timer("*"), host.migration_unit(RELEASE), host.backfill_unit(RELEASE),
            str(host.migration_settings(RELEASE)), str(host.backfill_settings(RELEASE)),
            str(host.runtime_socket(RELEASE)), str(host.credential("secret_key")),
        }  # fmt: skip

    assert of(Host("shop", tmp_path)).isdisjoint(of(Host("stall", tmp_path)))


def left_in_run(root: Path, **files: object) -> Path:
    """What an earlier slipway left in /run/slipway."""
    folder = root / "run/slipway"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(json.dumps(content))
    return folder


def test_a_warm_release_of_an_earlier_slipway_stays_warm(tmp_path: Path) -> None:
    shop, stall = service(tmp_path, "shop", RELEASE), service(tmp_path, "stall")
    folder = left_in_run(tmp_path, warm_json={"release": RELEASE, "until": 2e9})

    before.take_over(stall)
    assert (folder / "warm.json").exists()
    before.take_over(shop)

    assert json.loads(shop.warm.read_text())["release"] == RELEASE
    assert [path.name for path in folder.iterdir()] == ["shop"]


def test_a_drained_host_is_taken_over_once_nginx_looks_for_the_new_file(tmp_path: Path) -> None:
    shop = service(tmp_path, "shop")
    left_in_run(tmp_path, drained={"since": "2026-11-26T17:00:00Z", "port": 8443})

    before.take_over(shop)
    assert not shop.drained.exists()

    shop.private_server.parent.mkdir(parents=True)
    shop.private_server.write_text(f"listen 10.0.0.1:8443 ssl;\n# {shop.drained}\n")
    before.take_over(shop)
    assert json.loads(shop.drained.read_text())["port"] == 8443


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"release": "../../x"}', '{"release": 7, "port": "x"}'])
def test_what_nobody_can_read_is_left_alone(tmp_path: Path, content: str) -> None:
    shop = service(tmp_path, "shop", RELEASE)
    folder = left_in_run(tmp_path)
    for name in ("warm.json", "drained"):
        (folder / name).write_text(content)

    before.take_over(shop)

    assert sorted(path.name for path in folder.iterdir()) == ["drained", "warm.json"]
