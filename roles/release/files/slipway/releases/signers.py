"""Who may sign bundles here: /etc/slipway/<app>/allowed_signers, as the role release writes it for ssh-keygen."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass

from slipway.host import Host
from slipway.keys import fingerprint

MAX_FILE_BYTES = 1 << 20
# A name, what may be signed, from when and until when, the key.
LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._+@-]{0,63}) "
    r'namespaces="(?P<namespace>[A-Za-z0-9@._-]{1,80})"'
    r'(?:,valid-after="(?P<after>[0-9]{8})")?(?:,valid-before="(?P<before>[0-9]{14})")? '
    r"[a-z0-9@.-]{1,60} (?P<key>[A-Za-z0-9+/]{1,6000}={0,2})"
)


@dataclass(frozen=True)
class Signer:
    """after, before: as ssh-keygen reads them, in this host's time; empty for always."""

    name: str
    key: str
    after: str = ""
    before: str = ""

    @property
    def may_sign_now(self) -> bool:
        now = time.strftime("%Y%m%d%H%M%S")
        return self.after <= now and (not self.before or now <= self.before)


def read(host: Host) -> tuple[list[Signer], list[int]]:
    """Those in the file, and the numbers of lines that the role did not write so; they admit nobody."""
    try:
        with host.allowed_signers.open("rb") as file:
            lines = file.read(MAX_FILE_BYTES).decode("utf-8", "replace").split("\n")
    except OSError:
        return [], []
    found, wrong = [], []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        try:
            ours = match and match["namespace"] == host.namespace
            key = fingerprint(base64.b64decode(match["key"], validate=True)) if match and ours else ""
        except ValueError:
            key = ""
        if match and key:
            found.append(Signer(match["name"], key, match["after"] or "", match["before"] or ""))
        else:
            wrong.append(number)
    return found, wrong
