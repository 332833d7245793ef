"""Keep a private certificate authority on the controller, and a certificate of it for each host.

One folder holds it: ca.pem, ca.key, and <host>.pem with <host>.key. While the authority becomes another (adr/0070)
ca.pem has both, and the one that ca.key belongs to signs; ca-next.key is of one that does not sign yet.
"""

from __future__ import annotations

import datetime
import fcntl
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ARGUMENTS = frozenset({"directory", "name", "names", "addresses", "days"})
AUTHORITY_DAYS = 3650
RENEW_BEFORE = datetime.timedelta(days=30)
BACKDATE = datetime.timedelta(minutes=5)


class ActionModule(ActionBase):
    """Arguments: directory, name (the host's), names and addresses (its alternative names), days (validity)."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the paths `ca`, `certificate` and `key` on the controller; issue what is missing or near its end."""
        super().run(tmp, task_vars)
        unknown = set(self._task.args) - ARGUMENTS
        if unknown:
            raise AnsibleActionFail(f"private_certificate does not know {', '.join(sorted(unknown))}.")
        folder = Path(str(self._task.args["directory"])).resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            root = ensure_authority(folder)
            issued = ensure_certificate(
                folder,
                root,
                name=str(self._task.args["name"]),
                names=[str(name) for name in self._task.args["names"]],
                addresses=[str(address) for address in self._task.args["addresses"]],
                days=int(self._task.args["days"]),
            )
        # What happens to the host is the next task's to report: this one writes on the controller alone.
        return {
            "changed": False,
            "issued": issued,
            "ca": str(folder / "ca.pem"),
            "certificate": str(folder / f"{self._task.args['name']}.pem"),
            "key": str(folder / f"{self._task.args['name']}.key"),
        }


@dataclass(frozen=True)
class Authority:
    """The authority's certificate with the key that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_authority(folder: Path) -> Authority:
    """Load the authority that signs, or make one on the first run."""
    if (folder / "ca.pem").exists() and (folder / "ca.key").exists():
        return _belonging(folder, trusted(folder), folder / "ca.key")
    authority = _made()
    _write_key(folder / "ca.key", authority.key)
    _trust(folder, [authority.certificate])
    return authority


def trusted(folder: Path) -> list[x509.Certificate]:
    """The authorities that hosts are to trust: one, or two while one becomes the other."""
    return x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())


def announced(folder: Path) -> Authority | None:
    """The authority that is trusted and does not sign yet."""
    try:
        return _belonging(folder, trusted(folder), folder / "ca-next.key")
    except (FileNotFoundError, AnsibleActionFail):
        # Nobody has heard of it: whoever made it was killed.
        return None


def announce(folder: Path) -> None:
    """Have another authority trusted."""
    following = _made()
    _write_key(folder / "ca-next.key", following.key)
    _trust(folder, [*trusted(folder), following.certificate])


def sign_with_announced(folder: Path) -> None:
    """Have it sign from now on; the other's key is gone."""
    (folder / "ca-next.key").rename(folder / "ca.key")


def trust_alone(folder: Path) -> None:
    """Have the one that signs trusted, and no other."""
    _trust(folder, [ensure_authority(folder).certificate])


def _made() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Slipway private authority")])
    builder = _builder(name, name, key.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def _belonging(folder: Path, certificates: list[x509.Certificate], path: Path) -> Authority:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    for certificate in certificates:
        if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.public_key() == key.public_key():
            return Authority(certificate, key)
    raise AnsibleActionFail(
        f"{path} belongs to none of the authorities in {folder}/ca.pem, so nothing was issued. Put both back as "
        "they were together; without both, the next run begins with a new authority, which no host trusts before it."
    )


def _trust(folder: Path, certificates: list[x509.Certificate]) -> None:
    encoded = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    _write(folder / "ca.pem", encoded, 0o644)


def ensure_certificate(
    folder: Path, authority: Authority, *, name: str, names: list[str], addresses: list[str], days: int
) -> bool:
    """Issue a certificate when there is none, its end is near, or its names differ. True when issued.

    Near is 30 days, and less for certificates of less than 90 days: the last third of their validity.
    """
    path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    wanted = x509.SubjectAlternativeName(
        [x509.DNSName(entry) for entry in sorted(set(names))]
        + [x509.IPAddress(ipaddress.ip_address(entry)) for entry in sorted(set(addresses))]
    )
    renew_before = min(RENEW_BEFORE, datetime.timedelta(days=days) / 3)
    if path.exists() and key_path.exists() and _still_good(path, key_path, authority, wanted, renew_before):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, authority.certificate.subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(wanted, critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(signer, critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    _write_key(key_path, key)
    _write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return True


def _still_good(
    path: Path,
    key_path: Path,
    authority: Authority,
    wanted: x509.SubjectAlternativeName,
    renew_before: datetime.timedelta,
) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # any reason not to read or verify it is a reason to issue anew
        return False
    ends = certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    return key.public_key() == certificate.public_key() and found == wanted and ends > renew_before


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc) - BACKDATE
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, encoded, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    temporary.rename(path)
