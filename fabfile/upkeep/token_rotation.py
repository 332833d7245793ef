"""`fab rotate --tokens`: the key that signs tokens becomes another, and nobody is logged out (adr/0026).

Each call goes one step on, once the hosts show that nobody needs what is before it: a new key is accepted everywhere,
then it signs everywhere, then the old one is accepted until the last token that it signed is over.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fabfile.errors import RefusedError
from fabfile.hosts import state
from fabfile.hosts.environment import Environment, variables_of
from fabfile.hosts.fleet import Fleet
from fabfile.hosts.state import HostState, States
from fabfile.upkeep.rotation import Secrets

# The key that signs, and the other one that is accepted; how far a rotation is: BEGUN, SIGNING, or since when no
# release signs with the other one any more.
KEY, OTHER, STEP = "vault_secret_key", "vault_secret_key_previous", "vault_secret_key_rotation"
BEGUN, SIGNING = "begun", "signing"
BYTES = 48
# How long the service's refresh tokens are valid, and what it is without that setting.
DAYS, DEFAULT_DAYS = "REFRESH_TOKEN_DAYS", 14
MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Step:
    """values: what becomes other in the vault. said: what that means, and what comes next."""

    values: dict[str, str]
    said: str


def go_on(environment: Environment, planned: bool, now: datetime | None = None) -> str:
    """Do the next step, or say it; what was done and what comes next. Raises RefusedError when it is too early."""
    kept = Secrets(environment)
    step = _next(environment, kept, now or datetime.now(UTC))
    if planned:
        return f"The next step: {step.said}"
    kept.write(step.values)
    return step.said


def identity(key: str) -> str:
    """What `slipway status` calls a key by."""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""


def _next(environment: Environment, kept: Secrets, now: datetime) -> Step:
    key, other, at = kept.value(KEY), kept.value(OTHER), kept.value(STEP)
    run = f"ansible-playbook -i inventory/{environment.name} site.yml; fab restart --env {environment.name}"
    again = f"fab rotate --tokens --env {environment.name}"
    if not at and not other:
        values = {OTHER: secrets.token_urlsafe(BYTES), STEP: BEGUN}
        return Step(values, f"a new key is made and accepted, and does not sign yet.\nThen: {run}; {again}")
    since = _moment(at)
    if at not in (BEGUN, SIGNING) and since is None:
        raise RefusedError(
            f"{OTHER} is set and {STEP} is {at!r}: somebody rotates by hand. Nothing was changed. "
            "docs/runbooks/rotate-credentials.md says what each is."
        )
    _require(environment, key, other, run)
    if at == BEGUN:
        values = {KEY: other, OTHER: key, STEP: SIGNING}
        return Step(
            values, f"the new key signs, and the one before it is accepted still.\nThen: {run}; {again}"
        )
    days = timedelta(days=_valid_days(environment))
    if since is None:
        until = f"{now + days:%Y-%m-%d}"
        return Step(
            {STEP: now.strftime(MOMENT)},
            f"no release signs with the old key any more. Tokens that it signed are over on {until}.\nThen: {again}",
        )
    over = since + days
    if now < over:
        raise RefusedError(
            f"Tokens that the old key signed are valid until {over:{MOMENT}}: whoever has one would be logged out. "
            f"Nothing was changed. After that: {again}. If the key is known to somebody who must not have it, "
            f"docs/runbooks/rotate-credentials.md says how to cut it off."
        )
    return Step({OTHER: "", STEP: ""}, f"the old key is gone. The rotation ends with: {run}")


def _require(environment: Environment, key: str, other: str, run: str) -> None:
    """Raise RefusedError unless every release that runs has these two keys."""
    with Fleet(environment) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    if reasons := in_the_way(states, key, other):
        raise RefusedError("\n".join(["It is too early. Nothing was changed.", *reasons, f"Type: {run}"]))


def in_the_way(states: States, key: str, other: str) -> list[str]:
    """Which hosts do not have these two keys, or run a release that was started before they had."""
    return [f"{name}: {reason}" for name, found in states.items() if (reason := _lacks(found, key, other))]


def _lacks(found: HostState, key: str, other: str) -> str:
    keys = found.status.get("token_keys")
    if keys is None:
        return "its slipway cannot say which keys it has; site.yml brings the one that can."
    if keys != {"secret_key": identity(key), "secret_key_previous": identity(other)}:
        return "its keys are not those of the vault; site.yml brings them."
    # What a running release has taken its keys by.
    newer = [
        path
        for path in (found.status.get("live") or {}).get("settings_newer", [])
        if path.startswith("/etc/systemd/system/") or "/credentials/secret_key" in path
    ]
    if newer:
        return f"{found.live} was started before {', '.join(newer)} changed."
    if extra := sorted(set(found.status.get("running") or []) - {found.live}):
        return f"{', '.join(extra)} still runs, and may have started before. Wait until it is stopped."
    return ""


def _valid_days(environment: Environment) -> int:
    variables, host = variables_of(environment.name), environment.app_hosts[0].name
    name = f"{variables.of(host, 'app_environment_prefix')}{DAYS}"
    return int(variables.of(host, "app_settings", {}).get(name, DEFAULT_DAYS))


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
