"""What no authority could be asked with is refused before anything changes, all at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.templates.rendering import Case, render
from tests.unit.plugins.ansible_run import REPOSITORY

ASKS: dict[str, Any] = {
    "render_only": ["acme"],
    "certificates_public_source": "acme",
    "acme_mail": "operations@shop.example",
    "nginx_server_names": ["www.shop-of-tea.com"],
}
SAYINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "nobody to write to": ("lab", {"acme_mail": ""}, "acme_mail is '', not a mail address that somebody reads"),
    "an address, a wildcard, and names of nobody's": (
        "lab",
        {"nginx_server_names": ["192.0.2.7", "*.shop-of-tea.com", "shop", "shop.internal", "www.shop-of-tea.com"]},
        "no authority vouches for 192.0.2.7, shop, *.shop-of-tea.com, shop.internal by a challenge on port 80",
    ),
    # An authority writes names small, and what it gave would never be what was asked for.
    "capital letters": (
        "lab",
        {"render_only": ["nginx"], "nginx_server_names": ["www.Shop-of-Tea.com"]},
        "nginx_server_names (www.Shop-of-Tea.com) needs at least one name or address of small letters",
    ),
    "a firewall without port 80": ("lab", {"firewall_left_closed": [80]}, "firewall_left_closed has port 80"),
    "two files": (
        "lab", {"nginx_certificate_key": "/etc/ssl/slipway/public.key"}, "nginx_certificate_key name two files"
    ),
    "an authority without a file": ("lab", {"acme_authority": "/nonexistent"}, "acme_authority is '/nonexistent'"),
    "a directory without TLS": ("lab", {"acme_directory": "http://a.example/dir"}, "begins with https"),
}  # fmt: skip


@pytest.mark.parametrize(("inventory", "said", "refusal"), SAYINGS.values(), ids=SAYINGS)
def test_it_is_said_in_a_sentence(inventory: str, said: dict[str, Any], refusal: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not render") as refused:
        render(Case(inventory, "Debian-12"), tmp_path, **{**ASKS, **said})
    assert refusal in " ".join(str(refused.value).split())


def several(folder: Path, edges: int) -> Case:
    """inventory/fleet with more edges."""
    shutil.copytree(REPOSITORY / "inventory/fleet", folder)
    hosts = yaml.safe_load((folder / "hosts.yml").read_text())
    hosts["edge"]["hosts"] |= {f"edge-{n}": {"ansible_host": f"192.0.2.{n}"} for n in range(2, edges + 1)}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return Case(os.path.relpath(folder, REPOSITORY / "inventory"), "Debian-12")


def test_each_of_several_edges_asks_and_passes_on_what_another_is_asked(tmp_path: Path) -> None:
    render(several(tmp_path / "two", 2), tmp_path / "rendered", **{**ASKS, "render_only": ["nginx", "acme"]})
    said = (tmp_path / "rendered/edge-1/etc/slipway/shop/acme.conf").read_text()
    assert "directory = https://acme-staging-v02.api.letsencrypt.org/directory\n" in said
    site = (tmp_path / "rendered/edge-1/etc/nginx/conf.d/shop.conf").read_text()
    assert "    server 192.0.2.2:80 max_fails=0;\n" in site
    assert site.count("try_files $uri @another_edge;") == site.count("location @another_edge {") == 2


def test_more_edges_than_certificates_a_week_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not render") as refused:
        render(several(tmp_path / "six", 6), tmp_path / "none", **ASKS)
    assert "edge-6 is one of 6 edges" in " ".join(str(refused.value).split())


def test_one_asks_where_nothing_is_counted_unless_it_is_production(tmp_path: Path) -> None:
    render(Case("lab", "Debian-12"), tmp_path, **{**ASKS, "render_only": ["nginx", "acme"]})
    said = (tmp_path / "shop-1/etc/slipway/shop/acme.conf").read_text()
    assert "directory = https://acme-staging-v02.api.letsencrypt.org/directory\n" in said
    site = (tmp_path / "shop-1/etc/nginx/conf.d/shop.conf").read_text()
    assert site.count("try_files $uri =404;") == 2
    assert "another_edge" not in site
