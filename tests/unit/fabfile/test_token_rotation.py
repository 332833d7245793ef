"""A rotation of the tokens' key: one step after another, none before every host is ready for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Context, Exit

from fabfile.errors import RefusedError
from fabfile.hosts import state
from fabfile.hosts.state import HostState
from fabfile.tasks.rotating import rotate
from fabfile.upkeep import rotation, token_rotation
from tests.unit.contract.repository import ROOT
from tests.unit.fabfile.fake_fleet import R1, R2
from tests.unit.fabfile.test_rollouts import world
from tests.unit.fabfile.test_rotation import Rotated, rotated

__all__ = ["rotated", "world"]

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
CREDENTIAL = "/etc/shop/credentials/secret_key_previous"


class Hosts:
    """What the app hosts say of their keys, once site.yml has run and what is live was started anew."""

    def __init__(self, rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rotated = rotated
        self.keys: dict[str, str] | None = {}
        self.newer: list[str] = []
        self.running = [R2]
        monkeypatch.setattr(state, "read", self._read)
        said = {"app_environment_prefix": "SHOP_", "app_settings": {"SHOP_REFRESH_TOKEN_DAYS": "7"}}
        values = SimpleNamespace(of=lambda _, name, *__: said[name])
        monkeypatch.setattr(token_rotation, "variables_of", lambda _: values)

    def _read(self, _: Any) -> dict[str, HostState]:
        live = {"release": R2, "settings_newer": self.newer}
        status = {"token_keys": self.keys, "live": live, "running": self.running}
        return {name: HostState(name, status, {}) for name in self.rotated.world.hosts}

    def converge(self) -> None:
        """site.yml, and a restart."""
        kept = self.rotated.secrets
        self.keys = {
            "secret_key": token_rotation.identity(kept["vault_secret_key"]),
            "secret_key_previous": token_rotation.identity(kept.get("vault_secret_key_previous") or ""),
        }
        self.newer = []

    def go_on(self, now: datetime = NOW, planned: bool = False) -> str:
        return token_rotation.go_on(self.rotated.world.environment, planned, now)

    def refusal(self, now: datetime = NOW) -> str:
        """Why it does not go on; and nothing was changed."""
        before = self.rotated.path.read_bytes()
        with pytest.raises(RefusedError, match="Nothing was changed") as refused:
            self.go_on(now)
        assert self.rotated.path.read_bytes() == before
        return str(refused.value)


@pytest.fixture
def hosts(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    found = Hosts(rotated, monkeypatch)
    found.converge()
    return found


def test_a_key_is_accepted_everywhere_before_it_signs_and_as_long_as_its_tokens_live(hosts: Hosts) -> None:
    first = hosts.rotated.secrets["vault_secret_key"]

    assert "a new key is made and accepted, and does not sign yet" in hosts.go_on()
    second = hosts.rotated.secrets["vault_secret_key_previous"]
    assert hosts.rotated.secrets["vault_secret_key"] == first
    assert len(second) >= 64
    assert "app-1: its keys are not those of the vault; site.yml brings them." in hosts.refusal()

    hosts.converge()
    assert "the new key signs" in hosts.go_on()
    kept = hosts.rotated.secrets
    assert (kept["vault_secret_key"], kept["vault_secret_key_previous"]) == (second, first)
    assert "its keys are not those of the vault" in hosts.refusal()

    hosts.converge()
    assert "are over on 2026-12-03" in hosts.go_on()
    assert "valid until 2026-12-03T12:00:00Z" in hosts.refusal(NOW + timedelta(days=7, seconds=-1))

    assert "the old key is gone" in hosts.go_on(NOW + timedelta(days=7))
    kept = hosts.rotated.secrets
    assert (kept["vault_secret_key"], kept["vault_secret_key_previous"]) == (second, "")
    # And the next one begins anew.
    hosts.converge()
    assert "a new key is made" in hosts.go_on()


def test_a_release_that_was_started_before_its_keys_is_in_the_way(hosts: Hosts) -> None:
    hosts.go_on()
    hosts.converge()
    hosts.newer = [CREDENTIAL, "/etc/shop/shop.env"]
    assert f"app-2: {R2} was started before {CREDENTIAL} changed." in hosts.refusal()
    hosts.newer = ["/etc/shop/shop.env"]
    hosts.running = [R1, R2]
    assert f"{R1} still runs, and may have started before" in hosts.refusal()
    hosts.running, hosts.keys = [R2], None
    assert "its slipway cannot say which keys it has" in hosts.refusal()


def test_a_plan_changes_nothing_and_no_secret_is_said(hosts: Hosts) -> None:
    before = hosts.rotated.path.read_bytes()
    assert hosts.go_on(planned=True).startswith("The next step: a new key is made")
    assert hosts.rotated.path.read_bytes() == before
    said = hosts.go_on()
    assert not [secret for secret in hosts.rotated.secrets.values() if len(secret) > 8 and secret in said]


def test_two_keys_that_somebody_set_by_hand_are_left_alone(hosts: Hosts) -> None:
    kept = rotation.Secrets(hosts.rotated.world.environment)
    kept.write({"vault_secret_key_previous": "x" * 40})
    assert "somebody rotates by hand" in hosts.refusal()


def test_its_last_step_is_not_asked_for_by_another_word() -> None:
    with pytest.raises(Exit, match="leave --end out"):
        rotate.body(Context(), tokens=True, end=True)


def test_without_a_setting_tokens_live_as_long_as_the_service_says() -> None:
    text = (ROOT / "service/shop/settings/security.py").read_text()
    (days,) = re.findall(r"refresh_token_days: int = Field\(\s*([0-9]+),", text)
    assert int(days) == token_rotation.DEFAULT_DAYS
