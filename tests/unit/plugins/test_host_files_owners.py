"""Two services of one host: a file of both stays for the other, and what only one can have is refused to the second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

from ansible.module_utils.slipway_files import manifest, owners  # isort: skip

__all__ = ["files_host"]

SHOP: dict[str, Any] = {"app": "shop"}
STALL: dict[str, Any] = {"app": "stall"}


def test_what_two_services_want_the_same_goes_with_the_last_of_them(files_host: FilesHost) -> None:
    path = files_host.path("nginx.conf")
    path.write_text("the package's\n")
    shared = files_host.file("nginx.conf", "ours\n")
    files_host.state(shared, **SHOP)

    second = files_host.state(shared, **STALL)
    assert not second["changed"]
    gone = files_host.state(**SHOP)

    assert (gone["removed"], path.read_text()) == ([], "ours\n")
    assert files_host.state(**STALL)["changed"]
    assert path.read_text() == "the package's\n"


def test_a_file_of_the_first_is_no_original_of_the_second(files_host: FilesHost) -> None:
    files_host.state(files_host.file("nginx.conf", "ours\n"), **SHOP)

    files_host.state(files_host.file("nginx.conf", "ours\n"), **STALL)

    assert not files_host.original("nginx.conf").exists()


def test_one_service_that_drops_its_own_leaves_the_others(files_host: FilesHost) -> None:
    files_host.state(files_host.file("shop.conf", "1\n"), files_host.file("both.conf", "2\n"), **SHOP)
    files_host.state(files_host.file("stall.conf", "3\n"), files_host.file("both.conf", "2\n"), **STALL)

    assert files_host.state(**STALL)["removed"] == [str(files_host.path("stall.conf"))]

    left = sorted(path.name for path in files_host.root.iterdir() if path.is_file())
    assert left == ["both.conf", "shop.conf"]


@pytest.mark.parametrize("check", [True, False])
def test_two_inventories_that_differ_about_a_file_of_both_are_told_what_to_agree_on(
    files_host: FilesHost, check: bool
) -> None:
    made = {"made_of": "template", "variables": ["base_known_hosts"]}
    files_host.state(files_host.file("hosts", "10.0.0.1 a\n", **made), **SHOP)
    before = files_host.everything()

    said = files_host.refusal(files_host.file("hosts", "10.0.0.2 b\n", **made), check=check, **STALL)

    assert said == (
        f"{files_host.path('hosts')} is one file for all services of this host, and stall and shop want different "
        "lines of it: make the same in both inventories what it says (base_known_hosts). Nothing of the set web was "
        "changed."
    )
    assert files_host.everything() == before


def test_a_file_that_a_service_has_in_two_sets_is_the_same_when_one_of_them_says_so(
    files_host: FilesHost,
) -> None:
    files_host.state(files_host.file("a.conf", "by prepare\n", made_of="one"), name="prepare", **SHOP)
    wanted = files_host.file("a.conf", "by web\n", made_of="one")
    files_host.state(wanted, **SHOP)

    assert not files_host.state(wanted, **STALL)["changed"]


def test_a_newer_slipway_brings_a_file_of_both_up_to_date(files_host: FilesHost) -> None:
    files_host.state(files_host.file("nginx.conf", "old\n", made_of="a template"), **SHOP)
    files_host.state(files_host.file("nginx.conf", "old\n", made_of="a template"), **STALL)

    newer = files_host.file("nginx.conf", "new\n", made_of="another template")
    assert files_host.state(newer, **SHOP)["kept"] == []

    answer = files_host.state(newer, **STALL)
    assert (answer["changed"], answer["kept"]) == (False, [])


def test_what_the_others_run_brought_up_to_date_is_put_in_force_for_each(files_host: FilesHost) -> None:
    """The helper is one file, and each service's releases are brought up to it by the run of their own inventory."""
    helper: dict[str, Any] = {"name": "release", "has_handler": True}
    for content in ("old\n", "new\n"):
        for service in (SHOP, STALL):
            answer = files_host.state(
                files_host.file("slipway", content, made_of=content), **service, **helper
            )
            assert answer["changed"] == (content == "new\n" or service == SHOP), (content, service)
            files_host.state(name="release", in_force=True, **service)

    assert set(manifest.standing("shop")) == set(manifest.standing("stall")) == {"release"}


def test_what_the_others_run_brought_up_to_date_does_not_count_as_standing(files_host: FilesHost) -> None:
    for service in (SHOP, STALL):
        files_host.state(files_host.file("slipway", "old\n", made_of="old"), name="release", **service)
    files_host.state(files_host.file("slipway", "new\n", made_of="new"), name="release", **SHOP)

    assert set(manifest.standing("shop")) == {"release"}
    assert not manifest.standing("stall")


def test_an_edit_is_kept_whoever_of_the_two_undoes_it(files_host: FilesHost) -> None:
    wanted = files_host.file("nginx.conf", "ours\n")
    files_host.state(wanted, **SHOP)
    files_host.state(wanted, **STALL)
    files_host.path("nginx.conf").write_text("edited\n")

    (copy,) = files_host.state(wanted, **STALL)["kept"]

    assert Path(copy).read_text() == "edited\n"


@pytest.mark.parametrize("check", [True, False])
def test_what_only_one_service_can_have_is_the_firsts(files_host: FilesHost, check: bool) -> None:
    files_host.state(files_host.file("a", "1\n"), claims={"The port 9145": "nginx_metrics_port"}, **SHOP)
    before = files_host.everything()

    mine = {"The port 9145": "nginx_metrics_port", "The port 8443": "nginx_app_port"}
    said = files_host.refusal(files_host.file("b", "1\n"), check=check, claims=mine, **STALL)

    assert said.startswith("The port 9145 of this host is shop's, another service: set nginx_metrics_port to")
    assert files_host.everything() == before
    assert owners.claims("stall") == {"shop": {"The port 9145": "nginx_metrics_port"}}
    assert owners.claims("shop") == {}


def test_a_claim_that_changed_is_stated_though_no_file_did(files_host: FilesHost) -> None:
    wanted = files_host.file("a", "1\n")
    files_host.state(wanted, claims={"The port 9145": "nginx_metrics_port"}, **SHOP)

    files_host.state(wanted, **SHOP)

    assert owners.claims("stall") == {"shop": {}}


def as_before(files_host: FilesHost, app: str) -> None:
    """The records as an earlier version wrote them, of a host that is one service's."""
    folder = files_host.path("state/files")
    for path in (folder / "shop").iterdir():
        record = json.loads(path.read_text())
        del record["sources"], record["beside"]["claims"]
        (folder / path.name).write_text(json.dumps(record))
        path.unlink()
    (folder / "shop").rmdir()
    written = {
        "files": {f"/etc/rsyslog.d/10-{app}.conf": ""},
        "watched": {},
        "pending": False,
        "beside": None,
    }
    (folder / "rsyslog.json").write_text(json.dumps(written))


def test_records_of_an_earlier_version_become_the_services_whose_host_it_was(files_host: FilesHost) -> None:
    wanted = files_host.file("a", "1\n")
    files_host.state(wanted, files_host.file("b", "2\n"), **SHOP)
    as_before(files_host, "shop")
    assert manifest.configured_before() == "shop"
    assert manifest.names("shop") == ["rsyslog", "web"]

    answer = files_host.state(wanted, **SHOP)

    assert answer["removed"] == [str(files_host.path("b"))]
    assert (manifest.configured_before(), manifest.services()) == (None, ["shop"])
    assert manifest.names("shop") == ["rsyslog", "web"]


def test_another_service_takes_over_nothing_of_them(files_host: FilesHost) -> None:
    files_host.state(files_host.file("a", "1\n"), **SHOP)
    as_before(files_host, "shop")

    before = files_host.everything()

    said = files_host.refusal(files_host.file("c", "3\n"), **STALL)

    assert "configured this one for shop, and not for stall. Nothing was changed. Run site.yml with" in said
    assert files_host.everything() == before


@pytest.mark.parametrize("calls", range(4))
def test_a_run_that_dies_while_it_takes_over_is_made_up_for(files_host: FilesHost, calls: int) -> None:
    wanted = files_host.file("a", "1\n")
    files_host.state(wanted, **SHOP)
    as_before(files_host, "shop")
    moved = 0

    def rename(old: str, new: str, real: Any = manifest.os.rename) -> None:
        nonlocal moved
        if moved == calls:
            raise KeyboardInterrupt
        moved += 1
        real(old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest.os, "rename", rename)
        try:
            manifest.take_over("shop")
        except KeyboardInterrupt:
            assert manifest.configured_before() == "shop"

    assert files_host.state(**SHOP)["removed"] == [str(files_host.path("a"))]
