"""A host takes what was signed by somebody whom the inventory lets sign; it looks before it reads the bundle."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slipway.cli import main
from slipway.releases import bundle_archive, marks

from tests.unit.conftest import Slipway
from tests.unit.fabfile.signing_support import NAMESPACE, Engineer, engineer, let_sign
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_stage import stage


@pytest.fixture
def ada(tmp_path: Path) -> Engineer:
    return engineer(tmp_path, "ada")


@pytest.fixture
def bob(tmp_path: Path) -> Engineer:
    return engineer(tmp_path, "bob")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return support.good_bundle(tmp_path)


def signed(slipway: Slipway, bundle: Path, who: Engineer, **options: Any) -> Any:
    return stage(slipway, bundle, "--signature", who.signs(bundle, **options))


def steps(slipway: Slipway, step: str) -> list[dict[str, Any]]:
    return [each for each in slipway("journal").result["entries"] if each["step"] == step]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_bundle_that_an_engineer_signed_is_staged_and_says_who(
    host: Host, slipway: Slipway, tmp_path: Path, bundle: Path, kind: str
) -> None:
    ada = engineer(tmp_path, "ada", kind)
    let_sign(host, ada.line())

    answer = signed(slipway, bundle, ada)

    assert answer.result["signed_by"] == "ada"
    (row,) = slipway("list").result["releases"]
    assert row["signed_by"] == "ada"
    assert [each["details"]["signed_by"] for each in steps(slipway, "stage")][-1] == "ada"


def test_a_host_that_nobody_told_otherwise_takes_signed_bundles_alone(
    host: Host, slipway: Slipway, bundle: Path
) -> None:
    host.settings.unlink()
    before = support.snapshot(host.root)

    answer = stage(slipway, bundle)

    assert (answer.code, answer.error) == (2, "signature-missing")
    assert "Who may sign: nobody." in answer.message
    assert support.snapshot(host.root) == before


@pytest.mark.parametrize(
    "settings", ["", "[release]\n", "nonsense", "[release]\nsignatures_required = perhaps\n"]
)
def test_damaged_settings_switch_nothing_off(
    host: Host, slipway: Slipway, bundle: Path, settings: str
) -> None:
    host.settings.write_text(settings)

    assert stage(slipway, bundle).error == "signature-missing"


def test_where_nobody_has_to_sign_what_is_given_is_not_looked_at(
    host: Host, slipway: Slipway, bundle: Path
) -> None:
    answer = stage(slipway, bundle, "--signature", "AAAA")

    assert answer.json["changed"] is True
    assert "signed_by" not in answer.result


def test_a_bundle_does_not_say_itself_who_signed_it(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    files = support.bundle_files()
    claims = support.manifest_of(files, signed_by="ada", signed_with="SHA256:x", signature="AAAA")
    stage(slipway, support.pack(tmp_path / "claims.tar.gz", support.members_of(files, claims)))

    (row,) = slipway("list").result["releases"]

    assert row["signed_by"] is None


def spoilt(ada: Engineer, bob: Engineer, bundle: Path, other: Path) -> dict[str, tuple[list[str], str, str]]:
    """By what is wrong: the words that go with the bundle, the code and a part of the sentence."""
    good = ada.signs(bundle)
    flipped = bytearray(base64.b64decode(good))
    flipped[-1] ^= 1
    return {
        "none": ([], "signature-missing", "Who may sign: ada."),
        "empty": (["--signature="], "usage", "signature"),
        "cut": (["--signature", good[:40]], "signature-damaged", "is none, or was cut"),
        "noise": (["--signature", "QUJD" * 40], "signature-damaged", "is none, or was cut"),
        "no base64": (["--signature", "A"], "signature-damaged", "is none, or was cut"),
        "huge": (["--signature", "A" * 100_000], "usage", "signature"),
        "options of ssh-keygen": (["--signature", "-O=x"], "usage", "expected one argument"),
        "a bit flipped": (
            ["--signature", base64.b64encode(flipped).decode()], "signature-wrong", "ada signed another bundle",
        ),
        "of another bundle": (["--signature", ada.signs(other)], "signature-wrong", "ada signed another bundle"),
        "of a stranger": (["--signature", bob.signs(bundle)], "signer-unknown", bob.fingerprint),
        "for a file": (["--signature", ada.signs(bundle, "file")], "signature-foreign", "is for 'file'"),
        "for another application": (
            ["--signature", ada.signs(bundle, "slipway-bundle@till")], "signature-foreign", NAMESPACE,
        ),
    }  # fmt: skip


def test_every_other_signature_is_refused_before_a_byte_is_read(
    host: Host, slipway: Slipway, ada: Engineer, bob: Engineer, bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    let_sign(host, ada.line())
    other = support.good_bundle(tmp_path, OTHER)
    monkeypatch.setattr(bundle_archive, "receive", lambda *given: pytest.fail("the bundle was read"))
    before = support.snapshot(host.root)

    for about, (words, code, sentence) in spoilt(ada, bob, bundle, other).items():
        answer = stage(slipway, bundle, *words)
        assert (answer.code, answer.error) == (2, code), (about, answer.json)
        assert sentence in answer.message, (about, answer.message)
        assert "Nothing was changed." in answer.message, about
    assert support.snapshot(host.root) == before


def test_what_was_verified_is_what_is_unpacked(
    host: Host, slipway: Slipway, ada: Engineer, bundle: Path, tmp_path: Path
) -> None:
    """Whoever swaps the bundle once its signature was looked at, wherever it comes from, is found out."""
    let_sign(host, ada.line())
    swapped = support.good_bundle(tmp_path / "..", OTHER)
    words = ["--sha256", support.sha256(bundle), "--signature", ada.signs(bundle)]

    answer = slipway("stage", "--bundle", "-", *words, given=swapped)

    assert (answer.code, answer.error) == (2, "checksum")
    assert list(host.releases.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (',valid-before="20200101000000"', "signer-expired"),
        (',valid-after="20990101"', "signer-expired"),
        (',valid-after="20200101",valid-before="20990101000000"', None),
    ],
)
def test_a_key_is_good_from_its_first_day_to_its_last(
    host: Host, slipway: Slipway, ada: Engineer, bundle: Path, options: str, code: str | None
) -> None:
    let_sign(host, ada.line(options))

    answer = signed(slipway, bundle, ada)

    assert answer.json.get("error", {}).get("code") == code, answer.json
    assert ("ada" in slipway("status").result["signatures"]["signers"]) == (code is None)


def test_it_is_ssh_keygen_that_judges_and_not_what_is_read_of_a_signature(
    host: Host, slipway: Slipway, ada: Engineer, bob: Engineer, bundle: Path
) -> None:
    """A signature of bob's in which ada's key and name are written."""
    let_sign(host, ada.line(), bob.line())
    bobs, adas = (base64.b64decode(each.public.split()[1]) for each in (bob, ada))
    forged = base64.b64decode(bob.signs(bundle)).replace(bobs, adas)

    answer = stage(slipway, bundle, "--signature", base64.b64encode(forged).decode())

    assert (answer.code, answer.error) == (2, "signature-wrong"), answer.json


@pytest.mark.parametrize(
    "damage", ["carriage returns", "cut", "principals", "another option", "noise", "bytes"]
)
def test_a_damaged_line_admits_nobody_and_is_in_nobody_elses_way(
    host: Host, slipway: Slipway, ada: Engineer, bob: Engineer, bundle: Path, damage: str
) -> None:
    line = bob.line()
    wrong = {
        "carriage returns": line.replace("\n", "\r\n"),
        "cut": line[:60] + "\n",
        "principals": line.replace("bob", "*", 1),
        "another option": line.replace("namespaces", "cert-authority,namespaces"),
        "noise": f"bob {NAMESPACE}\n",
        "bytes": "bob \udcff\n",
    }[damage]
    let_sign(host, ada.line())
    with host.allowed_signers.open("ab") as file:
        file.write(wrong.encode(errors="surrogateescape"))

    refused = signed(slipway, bundle, bob)
    taken = signed(slipway, bundle, ada)

    assert refused.error == "signer-unknown"
    assert "line 3 is damaged" in refused.message
    assert slipway("status").result["signatures"]["wrong_lines"] == [3]
    assert taken.result["signed_by"] == "ada"


@pytest.mark.parametrize("left", ["empty", "missing"])
def test_without_signers_nobody_may(
    host: Host, slipway: Slipway, ada: Engineer, bundle: Path, left: str
) -> None:
    let_sign(host)
    if left == "missing":
        host.allowed_signers.unlink()

    answer = signed(slipway, bundle, ada)

    assert answer.error == "signer-unknown"
    assert "Who may: nobody." in answer.message


@pytest.mark.parametrize("which", ["missing", "old", "silent"])
def test_a_host_whose_ssh_keygen_cannot_says_so(
    host: Host, ada: Engineer, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    let_sign(host, ada.line())
    program = tmp_path / "ssh-keygen"
    if which != "missing":
        said = "unknown option -- Y\nusage: ssh-keygen [-q] ..." if which == "old" else ""
        program.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
        program.chmod(0o755)

    with support.standard_input(bundle):
        code = main(
            [*support.staging(bundle), "--signature", ada.signs(bundle)],
            replace(host, ssh_keygen=str(program)),
        )

    said = capsys.readouterr().out
    expected = {"missing": "ssh-keygen-missing", "old": "ssh-keygen-unfit", "silent": "signature-wrong"}
    assert code == 2
    assert expected[which] in said


def withdraw(host: Host, *remaining: Engineer) -> None:
    let_sign(host, *(each.line() for each in remaining))


def test_what_a_withdrawn_engineer_prepared_and_never_served_is_not_used(
    host: Host, slipway: Slipway, ada: Engineer, bob: Engineer, bundle: Path
) -> None:
    let_sign(host, ada.line(), bob.line())
    signed(slipway, bundle, ada)
    withdraw(host, bob)
    before = support.snapshot(host.root)

    for command in ("migrate", "start", "activate", "switch"):
        answer = slipway(command, RELEASE)
        assert (answer.code, answer.error) == (2, "signer-unknown"), (command, answer.json)
        assert "was staged and never served here, and nobody vouches for it now" in answer.message
    assert support.snapshot(host.root) == before


def test_somebody_else_may_vouch_for_it(
    host: Host, slipway: Slipway, ada: Engineer, bob: Engineer, bundle: Path
) -> None:
    let_sign(host, ada.line(), bob.line())
    signed(slipway, bundle, ada)
    withdraw(host, bob)

    again = signed(slipway, bundle, bob)
    repeated = signed(slipway, bundle, bob)

    assert (again.json["changed"], repeated.json["changed"]) == (True, False)
    assert slipway("list").result["releases"][0]["signed_by"] == "bob"
    assert slipway("migrate", RELEASE).json.get("error", {}).get("code") != "signer-unknown"


def test_what_was_staged_before_signatures_were_asked_for_needs_one(
    host: Host, slipway: Slipway, ada: Engineer, bundle: Path
) -> None:
    stage(slipway, bundle)
    let_sign(host, ada.line())

    assert slipway("start", RELEASE).error == "signature-missing"
    assert signed(slipway, bundle, ada).json["changed"] is True
    assert slipway("start", RELEASE).result["release"] == RELEASE


def test_a_release_that_served_can_be_gone_back_to_whoever_signed_it(
    host: Host, slipway: Slipway, ada: Engineer
) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    assert slipway("activate", RELEASE).code == 0
    assert slipway("activate", OTHER).code == 0
    assert marks.read(host, RELEASE, marks.VERIFIED) is not None
    let_sign(host, ada.line())

    assert slipway("activate", RELEASE).result["release"] == RELEASE


def test_nothing_is_left_of_a_signature(host: Host, slipway: Slipway, ada: Engineer, bundle: Path) -> None:
    let_sign(host, ada.line())
    before = len(os.listdir("/proc/self/fd"))

    signed(slipway, bundle, ada)

    assert list(host.incoming.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before
