"""Who vouches for a bundle: ssh-keygen signs its checksum with an engineer's SSH key, which may be in the ssh-agent.

The role release signs a first release by it: python -m fabfile.bundle.signing, with a JSON object on standard input.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from fabfile.bundle import wheels
from fabfile.bundle.archive import Bundle
from fabfile.bundle.signing_keys import FINGERPRINT, SECONDS, Key, chosen, last, ran
from fabfile.errors import FabError, RefusedError
from fabfile.hosts.environment import VARIABLE, Environment, Signer, Signing
from fabfile.hosts.state import States

SUFFIX = ".sig"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
MAX_BYTES = 8192
# Whoever has to confirm it by a touch, or to type a passphrase, needs a moment.
SIGN_SECONDS = 180.0
TOO_OLD = re.compile(r"usage:|unknown option|illegal option", re.IGNORECASE)


def signed(signing: Signing, bundle: Bundle) -> Bundle:
    """The bundle with a signature: the one beside it, else by the engineer's key. Raises RefusedError."""
    if not signing.required or bundle.signature:
        return bundle
    beside = Path(f"{bundle.path}{SUFFIX}")
    if beside.exists():
        signature = _body(beside)
        return replace(bundle, signature=signature, signed_with=_checked(beside, signature, bundle))
    key = chosen(signing)
    return replace(bundle, signature=_sign(key, bundle), signed_with=key.fingerprint)


def foreseen(signing: Signing, bundle: Bundle) -> str:
    """The fingerprint of the key that the bundle would be signed with, or is; "" where nobody has to."""
    if not signing.required:
        return ""
    if bundle.signature or Path(f"{bundle.path}{SUFFIX}").exists():
        return signed(signing, bundle).signed_with
    return chosen(signing).fingerprint


def put_beside(bundle: Bundle) -> Path:
    """Writes the signature to a file that goes with the bundle, and returns it."""
    path = Path(f"{bundle.path}{SUFFIX}")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(_armoured(bundle.signature))
    os.replace(partial, path)
    return path


def complaints(environment: Environment, signed_with: str, states: States) -> list[str]:
    """Hosts that would not take the bundle for who signed it. No key at all is said by whoever looked for one."""
    found, site = [], f"ansible-playbook -i inventory/{environment.name} site.yml"
    for state in states.values():
        theirs = state.status.get("signatures")
        if theirs is None:
            if environment.signing.required:
                found.append(f"the slipway of {state.name} is older and takes no signatures: {site}")
        elif not theirs["required"]:
            continue
        elif not environment.signing.required:
            found.append(f"{state.name} takes signed bundles alone, and the inventory says otherwise: {site}")
        elif signed_with and signed_with not in theirs["signers"].values():
            names = ", ".join(sorted(theirs["signers"])) or "nobody"
            found.append(
                f"{state.name} lets {names} sign, and the bundle is signed with another key, {signed_with}. "
                f"Whoever is new in release_signers comes to it with: {site}"
            )
    return found


def _namespace(bundle: Bundle) -> str:
    """A signature for anything else is none for a bundle of this service."""
    return f"slipway-bundle@{bundle.app}"


def _sign(key: Key, bundle: Bundle) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        digest, file = Path(scratch, "sha256"), key.file or Path(scratch, "key.pub")
        digest.write_text(f"{bundle.sha256}\n", encoding="ascii")
        if key.file is None:
            file.write_text(f"{key.public}\n", encoding="utf-8")
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(file), "-n", _namespace(bundle), str(digest)]
        done = ran(command, SIGN_SECONDS, asking=sys.stdin.isatty())
        made = Path(f"{digest}{SUFFIX}")
        if done.returncode == 0 and made.is_file():
            return _body(made)
    if TOO_OLD.search(done.stderr or ""):
        raise RefusedError(
            "This machine's ssh-keygen cannot sign: OpenSSH 8.9 or newer can. Nothing was shipped. Sign elsewhere, and "
            "bring the bundle here with its .sig: fab build --env ENV"
        )
    raise RefusedError(
        f"{key.file or 'The key in the ssh-agent'} ({key.fingerprint}) signed nothing: {last(done)}. Nothing was "
        "shipped. A key with a passphrase is asked for on a terminal alone; elsewhere load it first: ssh-add"
    )


def _checked(beside: Path, signature: str, bundle: Bundle) -> str:
    """The fingerprint of the key by which it was made, when it fits the bundle."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(_armoured(signature))
        file.flush()
        command = ["ssh-keygen", "-Y", "check-novalidate", "-n", _namespace(bundle), "-s", file.name]
        done = ran(command, SECONDS, f"{bundle.sha256}\n")
    if done.returncode == 0 and (found := FINGERPRINT.search(done.stdout)):
        return found.group()
    raise RefusedError(
        f"{beside} is no signature of the bundle beside it, for {_namespace(bundle)}: one of them was changed, or it "
        f"belongs to another ({last(done)}). Nothing was signed, and nothing shipped. If you know what is in the "
        f"bundle, remove {beside.name}: then it is signed with your key."
    )


def _body(file: Path) -> str:
    """The base64 of a signature, without the lines around it. Raises RefusedError."""
    with file.open("rb") as stream:
        lines = stream.read(MAX_BYTES).decode("ascii", "replace").split()
    body = "".join(lines[3:-3])
    if lines[:3] + lines[-3:] != f"{BEGIN} {END}".split():
        raise RefusedError(
            f"{file} is no signature, or was cut. Nothing was signed, and nothing shipped. Remove it, and sign again."
        )
    return body


def _armoured(signature: str) -> bytes:
    lines = [signature[at : at + 70] for at in range(0, len(signature), 70)]
    return "\n".join([BEGIN, *lines, END, ""]).encode()


def main() -> int:
    """{bundle, app, key, signers}: as the inventory has them. Prints {signature, signed_with}."""
    given = json.load(sys.stdin)
    path, key = Path(given["bundle"]), os.environ.get(VARIABLE) or given["key"]
    signers = tuple(Signer(str(each["name"]), str(each["key"])) for each in given["signers"])
    try:
        unsigned = Bundle(path, wheels.sha256(path), "", given["app"])
        made = signed(Signing(True, Path(key).expanduser() if key else None, signers), unsigned)
    except FabError as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    print(json.dumps({"signature": made.signature, "signed_with": made.signed_with}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
