"""`fab rotate --authority`: the private authority becomes another, and no connection is refused (adr/0070).

Each call goes one step on, once the hosts show that they are ready for it: another authority is trusted everywhere,
then it signs everywhere, then the one before it is trusted no more.
"""

from __future__ import annotations

import fcntl
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ansible.errors import AnsibleActionFail
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fabfile.database.asking import ssh
from fabfile.errors import RefusedError
from fabfile.hosts import environment as environments
from fabfile.hosts import state
from fabfile.hosts.app_host import AppHost
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet
from fabfile.hosts.state import HostState
from plugins.action import private_certificate as authority

SECONDS = 30
MARK = "== shown =="
RUNBOOK = "docs/runbooks/rotate-credentials.md"


@dataclass(frozen=True)
class Ground:
    """folder: of the authority, on this controller. there: the folder on each host."""

    folder: Path
    hosts: tuple[AppHost, ...]
    there: str


@dataclass(frozen=True)
class Step:
    """done: what makes it so. said: what that means, and what comes next."""

    done: Callable[[], None]
    said: str


def go_on(environment: Environment, planned: bool) -> str:
    """Do the next step, or say it; what was done and what comes next. Raises RefusedError when it is too early."""
    ground = _ground(environment)
    with _alone(ground.folder):
        try:
            step = _next(environment, ground)
        except AnsibleActionFail as failure:
            raise RefusedError(f"{failure.message} Nothing was changed.") from None
        if planned:
            return f"The next step: {step.said}"
        step.done()
    return step.said


def _ground(environment: Environment) -> Ground:
    variables = environments.variables_of(environment.name)
    hosts = tuple(environments.hosts_of(variables))
    name = hosts[0].name
    if str(variables.of(name, "certificates_source", "private")) != "private":
        raise RefusedError(
            f"The certificates of {environment.name} are files that you give (certificates_source): their authority "
            f"is not here. By hand: {RUNBOOK}. Nothing was changed."
        )
    folder = Path(str(variables.of(name, "certificates_directory")))
    if not (folder / "ca.pem").is_file():
        raise RefusedError(f"There is no authority in {folder} yet: site.yml makes one. Nothing was changed.")
    return Ground(folder, hosts, str(variables.of(name, "certificates_folder", "/etc/ssl/slipway")))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While nobody issues from it."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _next(environment: Environment, ground: Ground) -> Step:
    folder, name = ground.folder, environment.name
    run = f"ansible-playbook -i inventory/{name} site.yml; fab restart --env {name}"
    then = f"Then: {run}; fab rotate --authority --env {name}"
    following, trusted = authority.announced(folder), authority.trusted(folder)
    if following:
        _require([*_untrusting(ground, trusted), *_older(environment, ground)], run)
        return Step(
            partial(authority.sign_with_announced, folder),
            f"the new authority signs, and every host gets a certificate of it; both are trusted still.\n{then}",
        )
    if len(trusted) > 1:
        signing = authority.ensure_authority(folder).certificate
        _require(_unsigned(ground, signing), run)
        return Step(
            partial(authority.trust_alone, folder),
            f"the authority before it is trusted no more. The rotation ends with: {run}",
        )
    return Step(
        partial(authority.announce, folder),
        "another authority is made and trusted, and does not sign yet. Whoever verifies the service elsewhere by "
        f"{folder}/ca.pem needs that file anew before the next step.\n{then}",
    )


def _require(reasons: list[str], run: str) -> None:
    if reasons:
        raise RefusedError("\n".join(["It is too early. Nothing was changed.", *reasons, f"Type: {run}"]))


def _untrusting(ground: Ground, wanted: list[x509.Certificate]) -> list[str]:
    """Which hosts do not trust all of these."""
    return [
        f"{host}: it does not trust both authorities yet; site.yml brings the new one."
        for host, (trusted, _) in _on_hosts(ground).items()
        if not set(wanted) <= set(trusted)
    ]


def _unsigned(ground: Ground, signing: x509.Certificate) -> list[str]:
    """Which hosts show a certificate that is not of this authority."""
    return [
        f"{host}: its certificate is of the authority before; site.yml brings one of the new."
        for host, (_, shown) in _on_hosts(ground).items()
        if not _signed(shown, signing)
    ]


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _older(environment: Environment, ground: Ground) -> list[str]:
    """Which app hosts run a release that was started before they trusted what they trust now."""
    if len(ground.hosts) == 1:
        return []
    with Fleet(environment) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    path = f"{ground.there}/ca.pem"
    return [f"{name}: {reason}" for name, found in states.items() if (reason := _before(found, path))]


def _before(found: HostState, path: str) -> str:
    if path in (found.status.get("live") or {}).get("settings_newer", []):
        return f"{found.live} was started before {path} changed."
    if extra := sorted(set(found.status.get("running") or []) - {found.live}):
        return f"{', '.join(extra)} still runs, and may have started before. Wait until it is stopped."
    return ""


def _on_hosts(ground: Ground) -> dict[str, tuple[list[x509.Certificate], x509.Certificate]]:
    """{host: (whom it trusts, what it shows)}. Raises RefusedError when one does not answer."""
    with ThreadPoolExecutor(max_workers=len(ground.hosts)) as pool:
        found = pool.map(partial(_on_host, ground.there), ground.hosts)
        return dict(zip([host.name for host in ground.hosts], found, strict=True))


def _on_host(there: str, host: AppHost) -> tuple[list[x509.Certificate], x509.Certificate]:
    folder = shlex.quote(there)
    words = ssh.command(host, f"cat {folder}/ca.pem && echo '{MARK}' && cat {folder}/host.pem")
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=True
        )
        trusted, _, shown = done.stdout.partition(MARK)
        return (
            x509.load_pem_x509_certificates(trusted.encode()),
            x509.load_pem_x509_certificates(shown.encode())[0],
        )
    except (subprocess.SubprocessError, ValueError) as failure:
        said = getattr(failure, "stderr", None) or str(failure)
        raise RefusedError(
            f"{host.name} does not say whom it trusts: {str(said).strip()}. Nothing was changed."
        ) from None
