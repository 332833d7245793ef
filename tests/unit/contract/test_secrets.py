"""Nothing in the repository is a secret, and nothing names the package registries of whoever works on it."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pip._internal.models.index import PyPI

from tests.unit.contract.repository import ROOT, files, named

# Written with a repetition, so that this line is no such block itself.
PRIVATE_KEY = re.compile(r"-{5}BEGIN [A-Z0-9 ]*PRIVATE KEY-{5}")
ASSIGNED = re.compile(
    r"""(?ix) \b \w*(?:password|passwd|passphrase|secret_key|api_?key|access_?key|token) ["']? \s* [:=] \s*
        (?P<quote> ["']?) (?P<value> [^\s"'{}()\[\]<>$|,;`/*] [^\s"'{}()\[\]<>$|,;`]{5,} ) ["']? \s* (?:$|[,;)}\]])"""
)
TOKEN = re.compile(r"[A-Za-z0-9+/_-]{32,}")
HEXADECIMAL = re.compile(r"(?=.*[0-9])[0-9a-f]{32,}")
# Bits a character, with digits, capitals and small letters: words and paths stay below, keys in base64 are above.
ENTROPY = 4.3
RELEASE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{7}")

# Where a literal may look like a password, and why it is none.
PASSWORDS_ALLOWED = {
    r"^tests/": "throw-away servers and hosts that a test makes and deletes",
    r"^(service|migrator|examples/\w+)/tests/": "throw-away servers that a test makes and deletes, and values of none",
    r"^examples/items/\.env:": "what a template says to be changed, and what the service refuses to run with",
    r"^(examples/items/pyproject\.toml|docs/service-contract\.md):": "the names of credentials",
}
# Where a token may be as random as a key, and why it is none.
TOKENS_ALLOWED = {
    r"^tests/dashboards/page/package-lock\.json$": "checksums of packages",
    r"^(requirements/.+|(service|migrator|tests/scores|examples/\w+)/requirements.*)\.lock$": "checksums of packages",
    r"^tests/lab/postgresql\.py$": "the published checksum of PostgreSQL's binaries",
    r"^tests/lab/ubuntu\.py$": "the checksum of the package with the keys of Ubuntu's archive",
    r"^service/tests/(conftest|test_settings)\.py$": "secrets of a service that lives for one test",
    r"^tests/unit/plugins/test_postgresql_quoting\.py$": "the example of RFC 7677, which describes SCRAM-SHA-256",
    r"^tests/unit/contract/test_secrets\.py$": "what these tests have to see",
}


def texts() -> Iterator[tuple[str, str]]:
    """(name, content) of every file that is text; an inventory's encrypted vault.yml may stand in the repository."""
    for path in files():
        content = path.read_bytes()
        if b"\0" not in content and not content.startswith(b"$ANSIBLE_VAULT;"):
            yield named(path), content.decode("utf-8")


def allowed(name: str, exceptions: dict[str, str]) -> bool:
    return any(re.search(pattern, name) for pattern in exceptions)


def entropy(token: str) -> float:
    """Shannon's, in bits a character."""
    counted = Counter(token).values()
    return -sum(number / len(token) * math.log2(number / len(token)) for number in counted)


def random_tokens(line: str) -> list[str]:
    """Parts of a line that no person has thought of."""
    found = TOKEN.findall(RELEASE.sub(" ", line))
    kinds = (str.isdigit, str.isupper, str.islower)
    mixed = [
        token for token in found if all(any(map(kind, token)) for kind in kinds) and entropy(token) > ENTROPY
    ]
    return [*mixed, *HEXADECIMAL.findall(line)]


def lines_with(pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """(file:line, match) of every match in the repository."""
    for name, text in texts():
        for number, line in enumerate(text.splitlines(), start=1):
            for match in pattern.finditer(line):
                yield f"{name}:{number}", match


def test_no_private_key_is_in_the_repository() -> None:
    found = [where for where, _ in lines_with(PRIVATE_KEY)]

    assert not found, "\n".join(found)


def test_no_password_is_written_out() -> None:
    found = [
        f"{where} {match[0]}"
        for where, match in lines_with(ASSIGNED)
        # Without quotes Python has a name there, and no literal.
        if not allowed(where, PASSWORDS_ALLOWED)
        and (match["quote"] or not where.rpartition(":")[0].endswith(".py"))
    ]

    assert not found, "\n".join(found)


def test_nothing_is_as_random_as_a_key() -> None:
    found = [
        f"{name}:{number} {token}"
        for name, text in texts()
        if not allowed(name, TOKENS_ALLOWED)
        for number, line in enumerate(text.splitlines(), start=1)
        for token in random_tokens(line)
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "vault_database_password: " + "tR8uWq2LzP",
        "secret_key = '" + "kJ8sd7Hs6djJs8" + "'",
        '"aws_access_key": "' + "AKIAIOSFODNN7" + '",',
        "x " + "9f86d081884c7d659a2feaa0c55ad015",
        "x " + "kP3vX9qLm2Zt7RbY4wNc8HsD1fGj6TaU5eWo",
    ],
)
def test_these_tests_would_see_one(line: str) -> None:
    assert PRIVATE_KEY.search(line) or ASSIGNED.search(line) or random_tokens(line)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def registries() -> set[str]:
    """Host names of the package registries that this machine's own configuration names."""
    said = output(sys.executable, "-m", "pip", "config", "list") + f" {PyPI.url} {PyPI.file_storage_domain}"
    if shutil.which("apt-get"):
        said += output("apt-get", "--print-uris", "update") + output("apt-config", "dump", "Acquire")
    if shutil.which("npm"):
        said += output("npm", "config", "get", "registry")
    hosts = {urlsplit(address).hostname or "" for address in re.findall(r"https?://[^\s'\"]+", said)}
    return {host for host in hosts if "." in host and not re.fullmatch(r"[0-9.]+", host)} | {
        PyPI.file_storage_domain
    }


def test_no_file_names_a_package_registry() -> None:
    hosts = registries()
    # The product's own default is Ubuntu's archive; a machine may well be configured with the same.
    default = ROOT / "roles/apt_sources/vars/Ubuntu-22.yml"
    stated = {urlsplit(address).hostname for address in re.findall(r"http://\S+", default.read_text())}

    assert hosts, "this machine's configuration names no registry: the test would see none"
    found = [
        f"{name} names {host}"
        for name, text in texts()
        for host in sorted(hosts - stated)
        if re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", text)
    ]
    assert not found, "\n".join(found)
