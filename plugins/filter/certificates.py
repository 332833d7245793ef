"""What is wrong with a certificate and its key, read on the controller before anything is written to a host."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

# A chain of leaf, two intermediates and a key takes a tenth of it.
MOST_TEXT = 100_000
ADDRESS = re.compile(r"[0-9.]+|(?=[0-9a-f]*:)[0-9a-f:]+")


class UnreadableError(Exception):
    """A file that is not what it should be; the message completes `the key …` or `the certificate …`."""


def certificate_complaints(
    certificate: str,
    key: str,
    names: Sequence[str] = (),
    authority: str = "",
    now: str = "",
    shown: bool = False,
) -> list[str]:
    """A part of a sentence for each thing that is wrong; empty when the pair serves those names.

    certificate: the chain in PEM, the host's own first. key: its key in PEM. names: host names and addresses that it
    has to be valid for. authority: certificates in PEM, one of which has to have signed the chain's last; empty asks
    for none. now: the time in ISO 8601 that it has to be valid at; empty is the present. shown: a host shows it to
    others, too, when it connects to them.
    """
    try:
        chain = read_chain("the certificate", certificate)
        private = read_key(key)
        trusted = read_chain("the authority", authority) if authority else []
    except UnreadableError as error:
        return [str(error)]
    at = datetime.datetime.fromisoformat(now) if now else datetime.datetime.now(datetime.timezone.utc)
    leaf = chain[0]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = []
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        found.append("the key does not belong to the certificate")
    if missing := [name for name in names if not covers(leaf, name)]:
        found.append(
            f"the certificate is not for {', '.join(missing)}, only for {', '.join(said_names(leaf))}"
        )
    if shown and not serves_clients(leaf):
        found.append("the certificate may not be shown by a client (its extendedKeyUsage lacks clientAuth)")
    found += [*out_of_time(chain, at), *broken_chain(chain, trusted)]
    return found


def read_chain(what: str, text: str) -> list[x509.Certificate]:
    if len(text) > MOST_TEXT or "-----BEGIN CERTIFICATE-----" not in text:
        raise UnreadableError(f"{what} is not in PEM (a text file whose first line says BEGIN CERTIFICATE)")
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise UnreadableError(f"{what} cannot be read ({error})") from error


def read_key(text: str) -> PrivateKeyTypes:
    if len(text) > MOST_TEXT or "PRIVATE KEY--" not in text:
        raise UnreadableError("the key is not in PEM (a text file whose first line says BEGIN … KEY)")
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise UnreadableError(
            "the key is encrypted with a passphrase that no daemon could give: write it without one, in a file that "
            "ansible-vault encrypts"
        ) from None
    except ValueError as error:
        raise UnreadableError(f"the key cannot be read ({error})") from error


def said_names(leaf: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for; the common name does not count, as clients ignore it."""
    try:
        said = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["nothing: it has no subjectAltName"]
    addresses = said.get_values_for_type(x509.IPAddress)
    return [*said.get_values_for_type(x509.DNSName), *map(str, addresses)]


def covers(leaf: x509.Certificate, name: str) -> bool:
    """Whether a certificate is for a name or an address; a wildcard stands for one label."""
    said = [each.lower() for each in said_names(leaf)]
    if ADDRESS.fullmatch(name):
        return str(ip_address(name)) in said
    wanted = name.lower()
    return wanted in said or f"*.{wanted.partition('.')[2]}" in said


def serves_clients(leaf: x509.Certificate) -> bool:
    """Whether a server takes it from a client: one that names no use is for each."""
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses))


def out_of_time(chain: Sequence[x509.Certificate], at: datetime.datetime) -> list[str]:
    found = []
    for certificate in chain:
        subject = certificate.subject.rfc4514_string() or "the certificate"
        if certificate.not_valid_after_utc < at:
            found.append(f"{subject} ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        if certificate.not_valid_before_utc > at:
            found.append(f"{subject} begins only on {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    return found


def broken_chain(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> list[str]:
    """What keeps a client from following the chain from the host's certificate to an authority."""
    for certificate, issuer in pairwise(chain):
        if not issued(certificate, issuer):
            return [
                f"the chain is out of order: {certificate.subject.rfc4514_string()} was not signed by what follows it"
            ]
    last = chain[-1]
    if trusted and last not in trusted and not any(issued(last, authority) for authority in trusted):
        return [f"the chain ends with {last.subject.rfc4514_string()}, which the authority did not sign"]
    if not trusted and len(chain) == 1 and names_its_issuer(last):
        return [
            f"the chain lacks the intermediate {last.issuer.rfc4514_string()}, without which clients refuse it"
        ]
    return []


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names_its_issuer(leaf: x509.Certificate) -> bool:
    """Whether it says where its issuer's certificate is fetched, as those of public authorities do."""
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in access)


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"certificate_complaints": certificate_complaints}
