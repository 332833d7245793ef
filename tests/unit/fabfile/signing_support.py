"""Engineers with SSH keys of their own, and what they sign."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.unit.slipway import support
from tests.unit.slipway.support import Host

NAMESPACE = "slipway-bundle@shop"


@dataclass(frozen=True)
class Engineer:
    """key: the private one, with the public one beside it."""

    name: str
    key: Path

    @property
    def public(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    @property
    def fingerprint(self) -> str:
        blob = base64.b64decode(self.public.split()[1])
        return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")

    def line(self, options: str = "") -> str:
        """Their line of a host's allowed_signers."""
        return f'{self.name} namespaces="{NAMESPACE}"{options} {" ".join(self.public.split()[:2])}\n'

    def signs(self, bundle: Path, namespace: str = NAMESPACE) -> str:
        """What `slipway stage --signature` is given for a bundle."""
        command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(self.key), "-n", namespace]
        done = subprocess.run(
            command, input=f"{support.sha256(bundle)}\n".encode(), capture_output=True, check=True
        )
        return "".join(done.stdout.decode().splitlines()[1:-1])


def engineer(folder: Path, name: str, kind: str = "ed25519", passphrase: str = "") -> Engineer:
    """Somebody with a key in folder."""
    key = folder / name
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"{name} at work", "-f", str(key)]
    subprocess.run(words, check=True)
    return Engineer(name, key)


def let_sign(host: Host, *lines: str) -> None:
    """From now on the host takes signed bundles alone, by those of these lines."""
    host.settings.unlink(missing_ok=True)
    host.allowed_signers.write_text("# by site.yml\n" + "".join(lines))
