"""A certificate that would not serve is refused on the controller, in a sentence, before a host has it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from tests.unit.plugins.ansible_run import load_plugin

complaints = load_plugin("filter/certificates").certificate_complaints
NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
NAMES = ("shop.test", "192.0.2.10")


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password: bytes = b"") -> str:
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        return self.key.private_bytes(*form, how).decode()


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pair(
    name: str,
    signed_by: Pair | None = None,
    names: tuple[str, ...] = NAMES,
    fetched: bool = False,
    days: float = 90,
    uses: tuple[x509.ObjectIdentifier, ...] = (),
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [
        x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(signed_by.certificate.subject if signed_by else named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 100 * DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    )
    if fetched:
        where = x509.UniformResourceIdentifier("http://authority.test/intermediate.der")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return Pair(builder.sign(signed_by.key if signed_by else key, hashes.SHA256()), key)


def said(certificate: str, key: str, **changed: object) -> str:
    options = {"names": NAMES, "now": NOW.isoformat(), **changed}
    return "; ".join(complaints(certificate, key, **options))


@pytest.fixture(scope="module")
def root() -> Pair:
    return pair("Root")


@pytest.fixture(scope="module")
def intermediate(root: Pair) -> Pair:
    return pair("Intermediate", root)


@pytest.fixture(scope="module")
def host(intermediate: Pair) -> Pair:
    return pair("shop.test", intermediate)


def test_a_pair_with_its_chain_is_good(host: Pair, intermediate: Pair, root: Pair) -> None:
    chain = host.pem + intermediate.pem

    assert not said(chain, host.key_pem(), authority=root.pem)
    assert not said(chain + root.pem, host.key_pem(), authority=root.pem)
    assert not said(root.pem, root.key_pem(), authority=root.pem)


def test_the_key_of_another_certificate_is_named(host: Pair, root: Pair) -> None:
    assert said(root.pem, host.key_pem()) == "the key does not belong to the certificate"


def test_a_key_that_nobody_could_open_and_files_of_another_form_are_named(host: Pair) -> None:
    assert "the key is encrypted with a passphrase" in said(host.pem, host.key_pem(b"secret"))
    assert "the key is not in PEM" in said(host.pem, host.pem)
    assert "the certificate is not in PEM" in said("0\x82\x0a\xf1 PKCS#12", host.key_pem())
    torn = host.pem[: len(host.pem) // 2] + "-----END CERTIFICATE-----\n"
    assert "the certificate cannot be read" in said(torn, host.key_pem())


def test_a_certificate_out_of_its_time_is_named_with_the_day() -> None:
    old, new = pair("shop.test", days=-1), pair("shop.test")

    assert "CN=shop.test ended on 2026-11-25 12:00 UTC" in said(old.pem, old.key_pem())
    early = (NOW - 101 * DAY).isoformat()
    assert "CN=shop.test begins only on 2026-08-18 12:00 UTC" in said(new.pem, new.key_pem(), now=early)


def test_names_that_it_is_not_for_are_named(root: Pair) -> None:
    asked = ("shop.test", "www.shop.test", "198.51.100.1")

    sentence = said(root.pem, root.key_pem(), names=asked)

    assert (
        sentence == "the certificate is not for www.shop.test, 198.51.100.1, only for shop.test, 192.0.2.10"
    )


@pytest.mark.parametrize(
    ("name", "good"),
    [("a.shop.test", True), ("A.Shop.Test", True), ("shop.test", False), ("a.b.shop.test", False)],
)
def test_a_wildcard_stands_for_one_label(name: str, good: bool) -> None:
    wild = pair("wild", names=("*.shop.test",))

    assert bool(said(wild.pem, wild.key_pem(), names=[name])) is not good


def test_a_chain_that_a_client_cannot_follow_is_named(host: Pair, intermediate: Pair, root: Pair) -> None:
    other = pair("Other")

    assert "the chain is out of order" in said(host.pem + root.pem + intermediate.pem, host.key_pem())
    assert "which the authority did not sign" in said(host.pem, host.key_pem(), authority=root.pem)
    assert "which the authority did not sign" in said(
        host.pem + intermediate.pem, host.key_pem(), authority=other.pem
    )
    public = pair("shop.test", intermediate, fetched=True)
    assert "the chain lacks the intermediate CN=Intermediate" in said(public.pem, public.key_pem())
    assert not said(public.pem + intermediate.pem, public.key_pem())


def test_a_host_shows_its_certificate_to_others_too(root: Pair) -> None:
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    alone, both = pair("shop.test", root, uses=(server,)), pair("shop.test", root, uses=(server, client))

    assert not said(alone.pem, alone.key_pem(), authority=root.pem)
    assert "its extendedKeyUsage lacks clientAuth" in said(
        alone.pem, alone.key_pem(), authority=root.pem, shown=True
    )
    assert not said(both.pem, both.key_pem(), authority=root.pem, shown=True)
