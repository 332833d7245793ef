"""Whether sshd would let the deploy user in is asked before its new settings are written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.contract.repository import ROOT

CHECK = yaml.safe_load((ROOT / "roles/base/vars/main.yml").read_text())["__base_sshd_check"]
KEYS = "authorizedkeysfile /etc/ssh/slipway-keys/%u"


def check(folder: Path, *settings: str) -> tuple[int, str]:
    """The check with an sshd that has these settings, as sshd -T prints them."""
    sshd = folder / "sshd"
    sshd.write_text(
        "#!/bin/sh\n[ $1 = -T ] || exit 0\ncat <<'END'\nport 22\n" + "\n".join(settings) + "\nEND\n"
    )
    sshd.chmod(0o755)
    words = ["sh", "-c", CHECK.replace("/usr/sbin/sshd", str(sshd))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["allowusers root", "allowusers deploy"],
        ["allowusers deploy@10.0.0.*"],
        ["allowusers *@10.0.0.0/8"],
        ["allowgroups admins", "allowgroups deploy"],
    ],
)
def test_who_may_come_in_may_deploy(tmp_path: Path, settings: list[str]) -> None:
    assert check(tmp_path, KEYS, *settings) == (0, "")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["allowusers root", "allowusers ada"],
            "sshd lets in only root ada (AllowUsers): add deploy to that line",
        ),
        (["allowusers deployer"], "sshd lets in only deployer (AllowUsers)"),
        (["allowgroups admins"], "sshd lets in only admins (AllowGroups)"),
    ],
)
def test_a_host_on_which_nobody_could_deploy_is_refused(
    tmp_path: Path, settings: list[str], sentence: str
) -> None:
    status, said = check(tmp_path, KEYS, *settings)
    assert status == 1
    assert sentence in said


def test_an_sshd_that_does_not_read_the_file_is_refused(tmp_path: Path) -> None:
    status, said = check(tmp_path, "authorizedkeysfile .ssh/authorized_keys")
    assert status == 1
    assert "sshd does not read /etc/ssh/sshd_config.d/10-slipway.conf" in said
