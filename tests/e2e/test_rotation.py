"""A password, or an authority, becomes another while customers order, on a fleet."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from fabfile.hosts import vault
from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import AS_IS, KEPT, boot, site_of
from tests.e2e.ground import RATE, Ground, ground_of, new_release, running
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1800)]

PASSPHRASE = "the passphrase of a test"
WARM_SECONDS = 5
LOGIN = "SELECT rolcanlogin AND rolpassword IS NOT NULL FROM pg_authid WHERE rolname = '{}'"


@pytest.fixture(scope="module")
def inventory() -> Iterator[Path]:
    """inventory/fleet with a vault of its own, as production has one."""
    folder = ROOT / "inventory/test-rotation"
    shutil.copytree(ROOT / "inventory/fleet", folder, dirs_exist_ok=True)
    main = folder / "group_vars/all/main.yml"
    values = yaml.safe_load(main.read_text()) | {"deploy_warm_seconds": WARM_SECONDS}
    main.write_text(yaml.safe_dump(values, explicit_start=True))
    if not (folder / "group_vars/all/vault.yml").exists():
        vault.create(folder, PASSPHRASE)
    yield folder
    if not KEPT:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def playbooks(inventory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playbooks]:
    """The playbooks on it, with the vault's passphrase in a file, as fab has it."""
    file = tmp_path_factory.mktemp("vault") / "passphrase"
    file.write_text(PASSPHRASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(file))
        yield Playbooks(inventory)


@pytest.fixture(scope="module")
def ground(inventory: Path, playbooks: Playbooks) -> Iterator[Ground]:
    """An edge, two app hosts, a database, all serving."""
    for lab in boot("SLIPWAY_E2E_FLEET", str(inventory)):
        if not AS_IS:
            playbooks.run("site.yml").succeeded()
        yield ground_of(lab, site_of(lab))


def may_log_in(database: Host, login: str) -> bool:
    return hosts.sql(database, LOGIN.format(login)) == "t"


def runs_alone(host: Host, release: str) -> bool:
    return running(host) == {release}


def test_a_rotation_under_load_loses_nothing(ground: Ground, playbooks: Playbooks) -> None:
    fab, database = ground.fab, ground.lab.host(ground.lab.groups["db"][0])
    shop, (bundle, new) = ground.shop(), new_release(ground)
    assert (may_log_in(database, "shop"), may_log_in(database, "shop_b")) == (True, False)

    with shop.load(RATE) as load:
        # The fault: another password in the inventory, and site.yml.
        playbooks.run("playbooks/database.yml", vault_database_password="x" * 32).refused().says(
            "The password of role shop is to change, and sessions came in by the one there is", "fab rotate"
        )
        fab.run("rotate").ended(0, "shop_b has a new password")
        fab.run("rotate", "--end").ended(2, "shop_b cannot log in yet", "site.yml")
        playbooks.run("site.yml").succeeded()
        assert may_log_in(database, "shop")
        assert may_log_in(database, "shop_b")
        fab.run("rotate", "--end").ended(2, "Sessions came in by it", "Nothing was changed")
        fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        for host in ground.app_hosts:
            hosts.until("nothing else runs", partial(runs_alone, host, new), seconds=120)
        fab.run("rotate", "--end").ended(0, "The password of shop is gone")
        playbooks.run("site.yml").succeeded()
    seen = load.seen.lost_nothing()

    assert shop.keys() == {answer.key for answer in seen.answers}
    assert (may_log_in(database, "shop"), may_log_in(database, "shop_b")) == (False, True)
    # A restart, which no run may ever need, comes in by the new one too.
    for host in ground.app_hosts:
        hosts.output(host, f"systemctl restart shop@{new}")
    hosts.until("it serves again", ground.site.ready, seconds=30)
    ground.is_whole(new)


def test_an_authority_becomes_another_under_load_and_nobody_is_refused(
    ground: Ground, playbooks: Playbooks
) -> None:
    fab, shop = ground.fab, ground.shop()
    words = ("rotate", "--authority")

    def restarted() -> None:
        fab.run("restart").ended(0)
        for host in ground.app_hosts:
            (live,) = {hosts.live_release(host)}
            hosts.until("nothing else runs", partial(runs_alone, host, live), seconds=120)

    with shop.load(RATE) as before:
        fab.run(*words).ended(0, "another authority is made and trusted")
        fab.run(*words).ended(2, "does not trust both authorities yet", "Nothing was changed")
        playbooks.run("site.yml").succeeded()
        fab.run(*words).ended(2, "was started before /etc/ssl/slipway/ca.pem changed", "Nothing was changed")
        restarted()
    # Customers who verify by this authority have its file anew.
    with shop.load(RATE) as after:
        fab.run(*words).ended(0, "the new authority signs")
        fab.run(*words).ended(2, "its certificate is of the authority before", "Nothing was changed")
        playbooks.run("site.yml").succeeded()
        fab.run(*words).ended(0, "trusted no more")
        assert playbooks.run("site.yml").succeeded().changed > 0
        restarted()
    for load in (before, after):
        print(load.seen)
        # Each run reloads the edge's nginx, which closes connections that are idle just then.
        closed = [each for each in load.seen.losses if "0 bytes read" in each.reason and not each.refused]
        assert closed == load.seen.losses
        assert {answer.status for answer in load.seen.answers} == {201}
    assert shop.keys() >= {answer.key for answer in (*before.seen.answers, *after.seen.answers)}
    assert playbooks.run("site.yml").succeeded().changed == 0
    playbooks.run("playbooks/verify.yml").succeeded()
