"""A service whose settings take no socket's folder asks the database of its own host by address, with a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.once import made_once
from tests.templates.rendering import Case, HostTree, render

UNIT, MIGRATE = (f"etc/systemd/system/items{kind}@.service" for kind in ("", "-migrate"))
CLUSTER = "etc/postgresql/14/main"


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> HostTree:
    """What inventory/items makes of its one host."""
    case = Case("items", "Ubuntu-22")
    folder: Path = made_once(tmp_path_factory, case.name, lambda folder: render(case, folder))
    return HostTree(case, "items-1", folder / "items-1")


def test_it_is_told_the_loopbacks_name_and_whose_certificate_to_believe(items: HostTree) -> None:
    settings = items.text("etc/items/items.env").splitlines()

    assert "ITEMS_DATABASE_HOST=localhost" in settings
    assert "ITEMS_DATABASE_CA=/etc/ssl/slipway/ca.pem" in settings


def test_the_server_listens_on_the_loopback_and_takes_a_password_over_tls_there(items: HostTree) -> None:
    rules = [line.split() for line in items.text(f"{CLUSTER}/pg_hba.conf").splitlines()]
    settings = items.text(f"{CLUSTER}/conf.d/slipway.conf")

    comes_in = ["hostssl", "items", "items,items_b,items_migrate", "127.0.0.1/32", "scram-sha-256"]
    assert [rule for rule in rules if rule and rule[0].startswith("host")] == [
        comes_in,
        ["host", "all", "all", "all", "reject"],
    ]
    assert "listen_addresses = '127.0.0.1'" in settings
    assert "ssl = 'on'" in settings or "ssl = on" in settings


@pytest.mark.parametrize(
    ("unit", "secrets"), [(UNIT, {"database_password"}), (MIGRATE, {"migrate_database_password"})]
)
def test_each_unit_has_the_credentials_of_the_services_code_and_its_own_login_alone(
    items: HostTree, unit: str, secrets: set[str]
) -> None:
    text = items.text(unit)
    given = {
        line.partition("=")[2].partition(":")[0] for line in text.splitlines() if "LoadCredential" in line
    }

    assert given == {"secret_key", "first_superuser_password", *secrets}
    # It may connect to its own host, and to nothing else; nobody has to know who calls.
    assert "IPAddressAllow=localhost\n" in text
    assert "PrivateUsers=yes" in text
    assert "After=postgresql@14-main.service" in text


def test_a_firewall_lets_nobody_else_to_the_database(items: HostTree, tmp_path: Path) -> None:
    render(items.case, tmp_path, render_only=["firewall"], firewall_enabled=True)
    hardened = HostTree(items.case, "items-1", tmp_path / "items-1")
    found = [hardened.text(path) for path in hardened.paths() if path.endswith("firewall.nft")]

    assert found
    assert not [text for text in found if "5432" in text]
