"""The lab boots Ubuntu 22.04 where its archive is in reach, says so where not, and makes a host as a cloud does."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab import archive, cloud, image, inventory, network, platforms, seed, ubuntu, variants
from tests.lab.archive import Archive
from tests.lab.errors import LabError
from tests.lab.inventory import Inventory
from tests.lab.platforms import DEBIAN, UBUNTU
from tests.lab.site import Site
from tests.lab.ssh import Access, Login, known_as

CACHE = "http://10.9.8.1:3242"


def site(tmp_path: Path, platform: str = UBUNTU.name) -> Site:
    return Site.of(Inventory(tmp_path, {}, {}, "10.9.8.1", 3242, Login("ubuntu"), platform))


def test_ubuntu_is_what_an_inventory_that_wants_it_gets_where_its_archive_is_in_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ubuntu, "reachable", lambda _archive: True)
    assert site(tmp_path).platform is UBUNTU


def test_where_it_is_not_debian_boots_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ubuntu, "reachable", lambda _archive: False)
    assert site(tmp_path).platform is DEBIAN
    said = capsys.readouterr().err
    assert "This machine does not reach" in said
    assert "the hosts boot Debian 12 instead of Ubuntu 22.04" in said


def test_debian_asks_for_nothing_of_ubuntu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ubuntu, "reachable", lambda _archive: pytest.fail("it was asked"))
    assert site(tmp_path, DEBIAN.name).platform is DEBIAN


@pytest.mark.parametrize(("platform", "served"), [(UBUNTU, 0), (DEBIAN, 2)], ids=["ubuntu", "debian"])
def test_the_labs_own_archive_is_built_for_hosts_whose_system_lacks_its_packages(
    platform: platforms.Platform, served: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key := tmp_path / "key.asc").write_text("key")
    published: list[Path] = []
    monkeypatch.setattr(archive, "ensure", lambda: Archive(tmp_path, key, tmp_path))
    monkeypatch.setattr(ubuntu, "reachable", lambda _archive: True)
    monkeypatch.setattr(image, "ensure", lambda *_: tmp_path)
    monkeypatch.setattr(network.Network, "ensure", lambda *_: None)
    monkeypatch.setattr(network.Network, "publish", lambda _, repository: published.append(repository))
    of = site(tmp_path / "inventory/lab", platform.name)
    of.state.mkdir()

    # A host is made, and boots later.
    of.ready()
    of.image()
    of.ready()

    assert len(published) == served


def test_an_archive_that_nobody_answers_for_is_not_in_reach() -> None:
    assert not ubuntu.reachable("http://127.0.0.1:9/ubuntu")


def test_a_platform_that_the_lab_does_not_boot_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"The lab boots .*, and lab_platform is 'ubuntu-24'"):
        site(tmp_path, "ubuntu-24")


def test_one_variable_chooses_for_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[3]
    monkeypatch.setenv("SLIPWAY_LAB_PLATFORM", "debian-12")
    assert inventory.read(root / "inventory/lab").platform == "debian-12"


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_image_is_of_the_archives_that_the_role_states(architecture: str) -> None:
    found = ubuntu.upstream(architecture)
    role = ubuntu.ROLE.read_text()
    assert f"'{found.archive}'" in role
    assert f"'{found.security}'" in role
    assert ("ports" in found.archive) == (architecture == "arm64")


def test_hosts_get_their_packages_through_the_cache() -> None:
    assert UBUNTU.sources(CACHE) == [
        f"deb {CACHE}/ubuntu jammy main restricted universe multiverse",
        f"deb {CACHE}/ubuntu jammy-updates main restricted universe multiverse",
        f"deb {CACHE}/ubuntu-security jammy-security main restricted universe multiverse",
    ]
    assert DEBIAN.sources(CACHE, security=False) == [
        f"deb {CACHE}/debian bookworm main",
        f"deb {CACHE}/debian bookworm-updates main",
    ]


def test_each_platform_has_an_image_of_its_own() -> None:
    names = {image.name(platform) for platform in platforms.PLATFORMS.values()}
    assert len(names) == len(platforms.PLATFORMS)


def test_the_first_boot_is_a_clouds() -> None:
    files = cloud.seed("shop-1", "ssh-ed25519 AAAA lab\n", UBUNTU, CACHE, Login("ubuntu"))
    said = {Path(path).name: text for path, text in files.items()}
    assert json.loads(said["meta-data"])["local-hostname"] == "shop-1"
    user_data = json.loads(said["user-data"].removeprefix("#cloud-config\n"))
    assert user_data == {"ssh_authorized_keys": ["ssh-ed25519 AAAA lab"], "disable_root": True}
    vendor_data = json.loads(said["vendor-data"].removeprefix("#cloud-config\n"))
    assert vendor_data["manage_etc_hosts"] is True
    assert vendor_data["apt"]["security"][0]["uri"] == f"{CACHE}/ubuntu-security"


def test_whoever_is_not_root_runs_what_root_would() -> None:
    assert Access(Path("ssh"), Path("control")).as_root("id") == "id"
    access = Access(Path("ssh"), Path("control"), Login("ubuntu"))
    assert access.command("10.9.8.11")[-1] == "ubuntu@10.9.8.11"
    assert access.command("10.9.8.11", user="deploy")[-1] == "deploy@10.9.8.11"


def test_what_is_run_as_root_keeps_its_words_input_and_status_and_sudo_does_not_log_it(
    tmp_path: Path,
) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text(
        '#!/bin/bash\necho "$@" >> "$0.log"\nuntil [ "$1" = -- ]; do shift; done\nshift; exec "$@"\n'
    )
    sudo.chmod(0o755)
    command = Access(Path("ssh"), Path("control"), Login("ubuntu")).as_root(
        """set -e\necho 'a "b"' $(printf \\\\tü); cat; exit 7"""
    )
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/"}
    done = subprocess.run(
        ["bash", "-c", command], input="in\n", capture_output=True, text=True, env=environment
    )
    assert (done.stdout, done.returncode) == ('a "b" ü\nin\n', 7), done.stderr
    assert "exit 7" not in sudo.with_name("sudo.log").read_text()


def test_whom_sudo_asks_for_a_password_has_one_and_the_command_keeps_its_input() -> None:
    login = Login("ubuntu", password="an operator's")
    files = cloud.seed("shop-1", "key", UBUNTU, CACHE, login)
    said = json.loads(files[f"{cloud.SEED}/user-data"].removeprefix("#cloud-config\n"))
    assert said["user"] == {"name": "ubuntu", "sudo": ["ALL=(ALL) ALL"], "lock_passwd": False}
    assert (said["password"], said["chpasswd"]) == ("an operator's", {"expire": False})
    command = Access(Path("ssh"), Path("control"), login).as_root("cat")
    assert command.startswith(
        """sudo --stdin --validate --prompt= <<< 'an operator'"'"'s' && sudo --non-interactive"""
    )
    # A shell becomes the last command it has, and sudo would not know it again.
    assert command.endswith("; exit $?")


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="only root has networks, and nft rules"
)
def test_nft_takes_what_it_is_told_to_translate() -> None:
    rules = network.translation("lab-0a09080b", "10.9.8.11", "10.9.8.12")
    done = subprocess.run(["unshare", "--net", "nft", rules], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_host_may_be_behind_another_port_and_another_host() -> None:
    login = Login("ubuntu", port=2222, jump="root@10.9.8.7")
    assert seed.sshd(login) == "Port 2222\nAllowUsers *@10.9.8.7\n"
    command = Access(Path("ssh"), Path("control"), login).command("10.9.8.11")
    assert "Port=2222" in command
    (proxy,) = (word for word in command if word.startswith("ProxyCommand="))
    assert proxy.endswith("-W %h:%p root@10.9.8.7")
    assert "Port=2222" not in proxy
    assert known_as("10.9.8.11", 2222) == "[10.9.8.11]:2222"
    assert (seed.sshd(Login()), known_as("10.9.8.11", 22)) == ("", "10.9.8.11")


@pytest.mark.parametrize("name", variants.names())
def test_a_variant_says_what_it_is_and_comes_with_the_first_boot(name: str) -> None:
    assert variants.about(name).endswith(".")
    plain = cloud.seed("shop-1", "key", UBUNTU, CACHE, Login("ubuntu"))
    files = cloud.seed("shop-1", "key", UBUNTU, CACHE, Login("ubuntu"), [name])
    said, before = (
        json.loads(one["var/lib/cloud/seed/nocloud/vendor-data"].removeprefix("#cloud-config\n"))
        for one in (files, plain)
    )
    # Nothing of the cloud's own is lost: upgrades hold dpkg after the variant is made.
    assert said["runcmd"][-len(before["runcmd"]) :] == before["runcmd"]
    assert said["apt"] == before["apt"]
    assert said != before


def test_a_variant_that_there_is_not_is_named() -> None:
    with pytest.raises(LabError, match="There is no variant 'none'"):
        variants.check(["none"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
def test_debian_lets_the_same_user_in_where_it_stands_in_for_ubuntu(tmp_path: Path) -> None:
    lower, upper = tmp_path / "image", tmp_path / "upper"
    for folder in (lower / "etc", upper):
        folder.mkdir(parents=True)
    for name in ("passwd", "shadow", "group", "gshadow"):
        (lower / "etc" / name).write_text(
            "root:x:0:0:root:/root:/bin/bash\n" if name == "passwd" else "root:*:::\n"
        )
        (lower / "etc" / name).chmod(0o640 if "shadow" in name else 0o644)
    seed.admit(seed.Layer(upper, lower), "ubuntu", "ssh-ed25519 AAAA lab\n")
    assert "ubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n" in (upper / "etc/passwd").read_text()
    assert (upper / "etc/shadow").stat().st_mode & 0o777 == 0o640
    assert (upper / "etc/sudoers.d/90-ubuntu").read_text() == "ubuntu ALL=(ALL) NOPASSWD:ALL\n"
    key = upper / "home/ubuntu/.ssh/authorized_keys"
    assert (key.read_text(), key.stat().st_uid) == ("ssh-ed25519 AAAA lab\n", 1000)
    assert key.parent.stat().st_mode & 0o777 == 0o700
