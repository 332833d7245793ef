"""Who may sign bundles, as the role writes it, is what slipway reads and what ssh-keygen takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from slipway.releases import signatures, signers

from tests.templates.conftest import Trees
from tests.templates.rendering import SIGNERS
from tests.unit.fabfile.signing_support import NAMESPACE, engineer
from tests.unit.slipway import support

APP_HOSTS = [
    ("lab-Ubuntu-22", "shop-1"),
    ("lab-Ubuntu-22-everything", "shop-1"),
    ("production-Ubuntu-22", "production-app-1"),
]


@pytest.mark.parametrize(("case", "name"), APP_HOSTS)
def test_slipway_reads_who_may_sign(trees: Trees, case: str, name: str) -> None:
    host = support.host_at(trees[case, name].root)

    found, wrong = signers.read(host)

    assert [(each.name, each.may_sign_now) for each in found] == [(SIGNERS[0]["name"], True)]
    assert wrong == []
    assert signatures.required(host)


@pytest.mark.parametrize(("case", "name"), APP_HOSTS)
def test_ssh_keygen_takes_the_same_lines(trees: Trees, case: str, name: str, tmp_path: Path) -> None:
    """With the key of somebody who is here in place of the one that nobody has."""
    ada, written = engineer(tmp_path, "ada"), trees[case, name].text("etc/slipway/shop/allowed_signers")
    file, bundle = tmp_path / "allowed_signers", support.good_bundle(tmp_path)
    ours, theirs = (key.split()[1] for key in (ada.public, SIGNERS[0]["key"]))
    file.write_text(written.replace(theirs, ours))
    signature = tmp_path / "sig"
    signature.write_text(f"-----BEGIN SSH SIGNATURE-----\n{ada.signs(bundle)}\n-----END SSH SIGNATURE-----\n")

    command = ["ssh-keygen", "-Y", "verify", "-f", str(file), "-I", SIGNERS[0]["name"], "-n", NAMESPACE]
    done = subprocess.run(
        [*command, "-s", str(signature)],
        input=f"{support.sha256(bundle)}\n",
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
