"""A rotation of the database's password: one step after another, none before nobody needs what it takes away."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from fabfile.database.asking import connection, place
from fabfile.errors import RefusedError
from fabfile.hosts import vault
from fabfile.upkeep import rotation
from tests.unit.fabfile.fake_fleet import R1, R2
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["world"]

PASSPHRASE = "a passphrase for a test"


class Rotated:
    """An environment with a vault, and what its database says of the two logins."""

    def __init__(self, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        inventory = folder / world.environment.name
        (inventory / "group_vars/all").mkdir(parents=True)
        self.path = vault.create(inventory, PASSPHRASE)
        (folder / "passphrase").write_text(PASSPHRASE)
        monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(folder / "passphrase"))
        monkeypatch.setattr(rotation.Secrets.__init__, "__defaults__", (folder,))
        monkeypatch.setattr(place, "of", lambda _: SimpleNamespace(host=SimpleNamespace(name="db-1")))
        monkeypatch.setattr(connection, "looking", self._looking)
        self.can_log_in = {"shop"}
        self.sessions: list[tuple[str, str, str]] = []

    @contextmanager
    def _looking(self, *_: Any, **__: Any) -> Any:
        rows: list[tuple[str, bool, str | None, str]] = []
        for login in rotation.logins("shop"):
            held = [(address, application) for role, address, application in self.sessions if role == login]
            rows += [(login, login in self.can_log_in, *who) for who in held] or [
                (login, login in self.can_log_in, None, "")
            ]
        yield SimpleNamespace(execute=lambda *_: SimpleNamespace(fetchall=lambda: rows))

    @property
    def secrets(self) -> dict[str, str]:
        """What the vault says, as Ansible reads it."""
        return dict(yaml.safe_load(vault.read(self.path, PASSPHRASE)))

    def comes_in(self, login: str, release: str) -> None:
        """Every app host holds a session by a login."""
        self.sessions += [
            (login, f"192.0.2.{at}", f"shop/{release}") for at, _ in enumerate(self.world.hosts)
        ]

    def begin(self, planned: bool = False) -> str:
        return rotation.begin(self.world.environment, planned)

    def end(self, planned: bool = False) -> str:
        return rotation.end(self.world.environment, planned)

    def refusal(self) -> str:
        """Why it does not end; and nothing was changed."""
        before = self.path.read_bytes()
        with pytest.raises(RefusedError, match="Nothing was changed") as refused:
            self.end()
        assert self.path.read_bytes() == before
        return str(refused.value)


@pytest.fixture
def rotated(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rotated:
    return Rotated(world, tmp_path, monkeypatch)


def test_it_begins_with_a_password_for_the_other_login_and_leaves_the_one_in_use(rotated: Rotated) -> None:
    before = rotated.secrets

    said = rotated.begin()

    after = rotated.secrets
    assert after["vault_database_login"] == "shop_b"
    assert len(after["vault_database_password_b"]) >= 32
    assert after["vault_database_password"] == before["vault_database_password"]
    assert after["vault_secret_key"] == before["vault_secret_key"]
    assert after["vault_migrate_database_password"] != before["vault_migrate_database_password"]
    assert "site.yml; fab restart --env lab; fab rotate --end --env lab" in said
    assert not [secret for secret in after.values() if len(secret) > 8 and secret in said]


def test_a_second_begin_is_refused_and_says_how_to_go_on(rotated: Rotated) -> None:
    rotated.begin()
    begun = rotated.secrets
    with pytest.raises(RefusedError, match=r"from shop to shop_b is under way.*fab rotate --end"):
        rotated.begin()
    assert rotated.secrets == begun


def test_a_plan_changes_nothing(rotated: Rotated) -> None:
    before = rotated.path.read_bytes()
    assert "would get a new password" in rotated.begin(planned=True)
    assert rotated.path.read_bytes() == before


def test_it_ends_only_when_nobody_needs_the_old_password(rotated: Rotated) -> None:
    live = next(iter(rotated.world.live))
    assert live == R2
    assert "No rotation is under way" in rotated.refusal()
    rotated.begin()
    assert "shop_b cannot log in yet. Type: ansible-playbook" in rotated.refusal()
    rotated.can_log_in.add("shop_b")
    rotated.comes_in("shop", live)
    assert f"Sessions came in by it: 192.0.2.0 shop/{live}" in rotated.refusal()
    rotated.sessions = []
    assert "0 of 3 app hosts are seen to come in as shop_b" in rotated.refusal()
    rotated.comes_in("shop_b", R1)
    assert "0 of 3 app hosts are seen" in rotated.refusal()
    rotated.comes_in("shop_b", live)
    rotated.world.hosts["app-2"].running = {live, R1}
    assert f"app-2: {R1} still runs" in rotated.refusal()
    rotated.world.hosts["app-2"].running = {live}

    assert "would go" in rotated.end(planned=True)
    assert "The password of shop is gone" in rotated.end()
    assert rotated.secrets["vault_database_password"] == ""
    assert rotated.secrets["vault_database_login"] == "shop_b"
    # And the next one goes the other way.
    rotated.begin()
    assert rotated.secrets["vault_database_login"] == "shop"
    assert rotated.secrets["vault_database_password"]


def test_a_vault_that_somebody_edits_meanwhile_is_left_alone(rotated: Rotated) -> None:
    kept = rotation.Secrets(rotated.world.environment)
    rotated.path.unlink()
    vault.create(rotated.path.parents[2], PASSPHRASE)
    edited = rotated.path.read_bytes()
    with pytest.raises(RefusedError, match="changed by somebody else meanwhile"):
        kept.begin()
    assert rotated.path.read_bytes() == edited
    assert list(rotated.path.parent.iterdir()) == [rotated.path]


def test_a_wrong_passphrase_and_no_vault_are_refused(
    rotated: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "passphrase", lambda **_: "another passphrase")
    with pytest.raises(RefusedError, match="could not be decrypted"):
        rotated.begin()
    rotated.path.unlink()
    with pytest.raises(RefusedError, match="keeps its secrets elsewhere"):
        rotated.begin()


def test_a_database_beside_the_service_has_no_password_to_rotate(
    rotated: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, *_) = rotated.world.hosts
    monkeypatch.setattr(place, "of", lambda _: SimpleNamespace(host=SimpleNamespace(name=name)))
    for host in list(rotated.world.environment.app_hosts)[1:]:
        assert host.name != name
    alone = SimpleNamespace(name="lab", app_hosts=rotated.world.environment.app_hosts[:1])
    with pytest.raises(RefusedError, match="comes in by the socket, without a password"):
        rotation.begin(alone, planned=False)  # type: ignore[arg-type]
