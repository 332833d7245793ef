"""What was changed by hand is shown by a check, and mended by a run."""

from dataclasses import dataclass

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.conftest import CONFIGURATION, secrets_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

ACCESS = "/etc/postgresql/14/main/pg_hba.conf"
AS_SUPERUSER = "runuser --user=postgres -- psql --quiet --no-psqlrc --dbname=shop --command"
AS_SHOP = "runuser --user=shop -- psql --quiet --no-psqlrc --dbname=shop --command"


@dataclass(frozen=True)
class Drift:
    """A change by hand: the command that makes it, what a check shows of it, a command that works once it is mended.

    task: the task that would change something. shown: lines that are in the check's output.
    """

    spoil: str
    task: str
    shown: tuple[str, ...]
    whole: str


DRIFTS = {
    "anybody may connect to the database": Drift(
        f"sed --in-place '1i local all all trust' {ACCESS} && echo 'host all all 0.0.0.0/0 trust' >> {ACCESS}"
        " && systemctl reload postgresql@14-main",
        "postgresql : State who may connect and how the server runs",
        (f"--- before: {ACCESS}", "-local all all trust", "-host all all 0.0.0.0/0 trust"),
        f"! grep trust$ {ACCESS} && ! runuser --user=www-data -- psql --username=postgres --command='SELECT 1'",
    ),
    "the service's grant is gone": Drift(
        f"{AS_SUPERUSER} 'REVOKE SELECT ON shop.products FROM shop'",
        "postgresql : State roles, database, schema, grants and extensions",
        ("-table shop.shop.products: shop has DELETE, INSERT, UPDATE",),
        f"{AS_SHOP} 'SELECT 1 FROM shop.products'",
    ),
    "everybody may create in public": Drift(
        f"{AS_SUPERUSER} 'GRANT CREATE ON SCHEMA public TO PUBLIC'",
        "postgresql : State roles, database, schema, grants and extensions",
        ("-schema shop.public: PUBLIC has CREATE, USAGE", "+schema shop.public: PUBLIC has USAGE"),
        f"! {AS_SHOP} 'CREATE TABLE public.mine ()'",
    ),
    "the service is a superuser": Drift(
        f"{AS_SUPERUSER} 'ALTER ROLE shop SUPERUSER'",
        "postgresql : State roles, database, schema, grants and extensions",
        ("-role shop: superuser on", "+role shop: superuser off"),
        f"! {AS_SHOP} 'SELECT FROM pg_authid'",
    ),
    "the service is stopped": Drift(
        "systemctl stop 'shop@*'",
        "release : Keep the live release running",
        (),
        "systemctl is-active 'shop@*'",
    ),
    "nginx is stopped": Drift("systemctl stop nginx", "nginx : Run nginx", (), "systemctl is-active nginx"),
    "rsyslog does not start at boot": Drift(
        "systemctl disable rsyslog", "rsyslog : Run rsyslog", (), "systemctl is-enabled rsyslog"
    ),
    "everybody may read the secret": Drift(
        "chmod 0644 /etc/shop/credentials/secret_key",
        "app : State settings, credentials and units",
        ("--- before: /etc/shop/credentials/secret_key", "-root:root 0644", "+root:root 0600"),
        "stat --format=%a /etc/shop/credentials/secret_key | grep --line-regexp 600",
    ),
    "nginx says its version": Drift(
        "sed --in-place 's/server_tokens off/server_tokens on/' /etc/nginx/nginx.conf",
        "nginx : State nginx's configuration",
        ("--- before: /etc/nginx/nginx.conf", "-    server_tokens on;", "+    server_tokens off;"),
        "grep 'server_tokens off' /etc/nginx/nginx.conf",
    ),
    "nginx may not reach the service": Drift(
        "gpasswd --delete www-data shop-http",
        "app : Put nginx into it, and out of the service's own when nothing that runs is reached by that",
        (),
        "id www-data | grep shop-http",
    ),
    "engineers may not deploy": Drift(
        "rm /etc/sudoers.d/slipway",
        "base : State names, time, the deploy user's rights and security upgrades",
        ("+++ after: /etc/sudoers.d/slipway", "+deploy ALL=(root) NOPASSWD: /usr/local/sbin/slipway"),
        "runuser --user=deploy -- sudo -n /usr/local/sbin/slipway status",
    ),
    "logs are never rotated": Drift(
        "rm /etc/logrotate.d/shop",
        "rsyslog : State what is logged where, and how much the journal may take",
        ("+++ after: /etc/logrotate.d/shop",),
        "test -s /etc/logrotate.d/shop",
    ),
}
STATE_OF_THE_REST = (
    "cd /; systemctl is-active nginx rsyslog 'shop@*'; systemctl is-enabled nginx rsyslog; id www-data;"
    f"{AS_SUPERUSER} '\\dp shop.*' --command '\\dn+' --command '\\du'"
)


@dataclass(frozen=True)
class Mending:
    """A check on the spoilt host with what it changed there, the run that mends it, the run after that."""

    check: Run
    changed_by_check: str
    run: Run
    again: Run


@pytest.fixture(scope="module")
def mending(spoilt: Host, playbooks: Playbooks) -> Mending:
    """All of it spoilt at once, checked, and mended."""
    for drift in DRIFTS.values():
        hosts.output(spoilt, drift.spoil)
    files, rest = hosts.files(spoilt, *CONFIGURATION), spoilt.run(STATE_OF_THE_REST).stdout
    check = playbooks.run("site.yml", "--check", "--diff")
    changed = hosts.differences(files, hosts.files(spoilt, *CONFIGURATION))
    if (now := spoilt.run(STATE_OF_THE_REST).stdout) != rest:
        changed += f"\nbefore\n{rest}\nafter\n{now}"
    # As much as there is to be said: no secret may be in it.
    run = playbooks.run("site.yml", "--diff", "-vvv")
    return Mending(check, changed, run, playbooks.run("site.yml"))


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_a_check_shows_it(mending: Mending, spoilt: Host, drift: Drift) -> None:
    mending.check.succeeded()
    assert drift.task in mending.check.changes(spoilt.name), mending.check
    lines = {line.rstrip() for line in mending.check.output.splitlines()}
    missing = [line for line in drift.shown if line not in lines]
    assert not missing, f"not shown: {missing}\n{mending.check}"


def test_the_check_changes_nothing(mending: Mending) -> None:
    assert not mending.changed_by_check


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_a_run_mends_it(mending: Mending, spoilt: Host, drift: Drift) -> None:
    mending.run.succeeded()
    done = spoilt.run(f"cd / && {drift.whole}")
    assert done.returncode == 0, f"{drift.whole}\n{done.stdout}{done.stderr}\nthe run: {mending.run.log}"


def test_the_service_serves_once_it_is_mended(mending: Mending, spoilt: Host, site: Site) -> None:
    mending.run.succeeded()
    response = site.get("/api/v1/products")
    assert response.status == 200, f"{response}\n{hosts.journal(spoilt)}"


def test_the_next_run_changes_nothing(mending: Mending) -> None:
    assert mending.again.succeeded().changed == 0, mending.again


def test_a_run_says_no_secret_even_when_it_says_all(mending: Mending, lab: Lab) -> None:
    assert "invocation:" in mending.run.output, "the run did not say all"
    for run in (mending.check, mending.run, mending.again):
        assert not [name for name, secret in secrets_of(lab).items() if secret in run.output], run.log
