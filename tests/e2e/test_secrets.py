"""Secrets are where they are used, and nowhere else."""

import pytest

from tests.e2e import hosts
from tests.e2e.conftest import secrets_of
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


@pytest.fixture
def secrets(lab: Lab) -> dict[str, str]:
    """The secrets the lab made on the first run, by name."""
    return secrets_of(lab)


def holders(host: Host, secrets: dict[str, str], where: str) -> list[str]:
    """Return the files of a host, named by a shell pattern or a find, that hold one of the secrets."""
    # Through standard input: an argument would itself be seen in /proc.
    patterns = "".join(f"{secret}\n" for secret in secrets.values())
    found = host.run(f"cat > /run/patterns && {where} | xargs -0 grep -laFf /run/patterns", stdin=patterns)
    hosts.output(host, "rm /run/patterns")
    return found.stdout.split()


def test_the_key_is_in_one_file_of_root_and_in_the_services_credentials(
    host: Host, secrets: dict[str, str]
) -> None:
    everywhere = (
        "find /etc /srv /var /home /root /run /tmp /usr/local -xdev -type f -not -path /run/patterns -print0"
    )
    assert holders(host, secrets, everywhere) == ["/etc/shop/credentials/secret_key"]
    (about,) = hosts.files(host, "/etc/shop/credentials/secret_key").values()
    assert about.startswith("-rw------- root:root ")
    credentials = f"find '/run/credentials/{hosts.live_unit(host)}' -type f -print0"
    assert len(holders(host, secrets, credentials)) == 1


def test_no_process_shows_a_secret_in_its_arguments_or_environment(
    host: Host, secrets: dict[str, str]
) -> None:
    assert not holders(host, secrets, "find /proc -maxdepth 2 \\( -name cmdline -o -name environ \\) -print0")


def test_the_journal_has_no_secret(host: Host, secrets: dict[str, str]) -> None:
    said = hosts.output(host, "journalctl --no-pager --output=json --all")
    assert len(said) > 10_000
    assert not [name for name, secret in secrets.items() if secret in said]


@pytest.mark.parametrize("user", ["shop", "shop_migrate", "deploy", "www-data"])
def test_the_file_of_a_secret_is_roots_alone(host: Host, user: str) -> None:
    said = hosts.refused(host, f"runuser --user={user} -- cat /etc/shop/credentials/secret_key")
    assert "Permission denied" in said


@pytest.mark.parametrize("user", ["shop_migrate", "deploy", "www-data"])
def test_the_services_credentials_are_the_services_alone(host: Host, user: str) -> None:
    path = f"/run/credentials/{hosts.live_unit(host)}/secret_key"
    assert "Permission denied" in hosts.refused(host, f"runuser --user={user} -- cat '{path}'")


def test_nginx_reads_nothing_that_the_services_group_may(host: Host) -> None:
    assert "Permission denied" in hosts.refused(host, "runuser --user=www-data -- cat /etc/shop/shop.env")
