"""`make secrets` gives an inventory strong secrets that only the passphrase opens."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from fabfile.errors import BuildError
from fabfile.hosts import vault

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    return tmp_path


def test_the_file_is_encrypted_and_the_passphrase_opens_it(inventory: Path) -> None:
    path = vault.create(inventory, PASSPHRASE)
    stored = path.read_bytes()
    assert stored.startswith(b"$ANSIBLE_VAULT;1.1;AES256\n")
    assert b"vault_secret_key" not in stored
    opened = yaml.safe_load(VaultLib([("default", VaultSecret(PASSPHRASE.encode()))]).decrypt(stored))
    assert set(opened) == set(vault.SECRETS)
    assert all(len(value) >= 32 for value in opened.values())
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_two_inventories_share_a_secret(inventory: Path, tmp_path: Path) -> None:
    vault_library = VaultLib([("default", VaultSecret(PASSPHRASE.encode()))])
    first = vault_library.decrypt(vault.create(inventory, PASSPHRASE).read_bytes())
    (inventory / "group_vars" / "all" / "vault.yml").unlink()
    assert first != vault_library.decrypt(vault.create(inventory, PASSPHRASE).read_bytes())


def test_secrets_that_are_there_are_never_overwritten(inventory: Path) -> None:
    path = vault.create(inventory, PASSPHRASE)
    before = path.read_bytes()
    with pytest.raises(BuildError, match="exists already; nothing was written"):
        vault.create(inventory, PASSPHRASE)
    assert path.read_bytes() == before


def test_a_short_passphrase_is_refused(inventory: Path) -> None:
    with pytest.raises(BuildError, match="shorter than 12"):
        vault.create(inventory, "short")
    assert not (inventory / "group_vars" / "all" / "vault.yml").exists()


def test_a_folder_that_is_no_inventory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is no inventory"):
        vault.create(tmp_path, PASSPHRASE)
