"""The encrypted secrets of an inventory, made once: python -m fabfile.hosts.vault inventory/production

The vault's passphrase is read from the file that ANSIBLE_VAULT_PASSWORD_FILE names, or asked for twice.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret

from fabfile.errors import BuildError, RefusedError

# Secret and its length in bytes before encoding; roles/app says what each is for.
SECRETS = {
    "vault_secret_key": 48,
    "vault_database_password": 24,
    "vault_migrate_database_password": 24,
    "vault_redis_password": 24,
    "vault_backups_key": 48,
}
LEAST_PASSPHRASE = 12


def create(inventory: Path, passphrase: str) -> Path:
    """Write group_vars/all/vault.yml, encrypted, and return its path. Raises BuildError; never overwrites."""
    folder = inventory / "group_vars" / "all"
    path = folder / "vault.yml"
    if not folder.is_dir():
        raise BuildError(
            f"{inventory} is no inventory: it has no folder group_vars/all. Nothing was written."
        )
    if len(passphrase) < LEAST_PASSPHRASE:
        raise BuildError(
            f"The passphrase is shorter than {LEAST_PASSPHRASE} characters. Nothing was written."
        )
    plain = "---\n" + "".join(f"{name}: {secrets.token_urlsafe(size)}\n" for name, size in SECRETS.items())
    encrypted = VaultLib().encrypt(plain, VaultSecret(passphrase.encode()))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BuildError(
            f"{path} exists already; nothing was written. Edit it with: ansible-vault edit {path}. "
            "Or move it away to make new secrets."
        ) from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(encrypted)
    return path


def read(path: Path, passphrase: str) -> str:
    """The text of an encrypted vault.yml. Raises RefusedError when there is none, or it is another passphrase's."""
    try:
        encrypted = path.read_bytes()
        return str(_lib(passphrase).decrypt(encrypted).decode())
    except FileNotFoundError:
        raise RefusedError(f"{path} is not there: this environment's secrets are not kept here.") from None
    except AnsibleError as failure:
        raise RefusedError(
            f"{path} could not be decrypted: {failure.message}. Nothing was changed."
        ) from None


def value(text: str, name: str) -> str:
    """A secret in the text of a vault, "" when it has none."""
    found = yaml.safe_load(text)
    return str((found or {}).get(name) or "") if isinstance(found, dict) else ""


def change(path: Path, passphrase: str, before: str, values: Mapping[str, str]) -> None:
    """Write other values into a vault whose text is still `before`; all else stays, and the file is whole always.

    Raises RefusedError when somebody has changed it meanwhile.
    """
    text = before
    for name, new in values.items():
        # The new secret has no backslash: it is base64 for addresses.
        line = f"{name}: '{new}'"
        text, replaced = re.subn(rf"^{name}:.*$", line, text, flags=re.MULTILINE)
        text = text if replaced else f"{text.rstrip()}\n{line}\n"
    if any(value(text, name) != new for name, new in values.items()):
        raise RefusedError(
            f"{path} is not one line a secret; it was not changed. Edit it: ansible-vault edit {path}"
        )
    encrypted = _lib(passphrase).encrypt(text, VaultSecret(passphrase.encode()))
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".vault-", delete=False) as written:
        try:
            written.write(encrypted)
            written.flush()
            os.fsync(written.fileno())
            if read(path, passphrase) != before:
                raise RefusedError(
                    f"{path} was changed by somebody else meanwhile, and was left alone. Type it again."
                )
            os.replace(written.name, path)
        except BaseException:
            os.unlink(written.name)
            raise


def _lib(passphrase: str) -> VaultLib:
    return VaultLib([("default", VaultSecret(passphrase.encode()))])


def passphrase(again: bool = True) -> str:
    """Read the passphrase from where Ansible would, or ask for it, twice for a new one."""
    named = os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE")
    if named:
        return Path(named).expanduser().read_text(encoding="utf-8").strip()
    if not again:
        return getpass.getpass("The vault's passphrase: ")
    first = getpass.getpass("A passphrase for the vault (keep it in your password manager): ")
    if first != getpass.getpass("The same again: "):
        raise BuildError("The two passphrases differ. Nothing was written.")
    return first


def main(arguments: list[str]) -> int:
    """Entry point; exit 2 with a sentence when nothing could be made."""
    if len(arguments) != 1:
        print("usage: python -m fabfile.hosts.vault inventory/<environment>", file=sys.stderr)
        return 2
    try:
        path = create(Path(arguments[0]), passphrase())
    except (BuildError, OSError) as failure:
        print(failure, file=sys.stderr)
        return 2
    print(
        f"{path} holds new secrets, encrypted: commit it. Run site.yml with --ask-vault-pass, or with "
        "ANSIBLE_VAULT_PASSWORD_FILE set."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
