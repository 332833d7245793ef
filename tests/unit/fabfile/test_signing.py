"""What an engineer signs a bundle with, and what they are told when there is nothing."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from invoke import Context, Exit

from fabfile.bundle import signing, signing_keys
from fabfile.bundle.archive import Bundle, manifest_of
from fabfile.errors import RefusedError
from fabfile.hosts import environment, state
from fabfile.hosts.environment import Environment, Signer, Signing
from fabfile.hosts.variables import Variables
from fabfile.rollout import deploy, plan
from fabfile.tasks import building, rollouts, running
from tests.unit.conftest import Slipway
from tests.unit.fabfile.signing_support import Engineer, engineer, let_sign
from tests.unit.fabfile.test_hosts import NEW, answers, expect, listed, mock, row, status
from tests.unit.fabfile.test_hosts import environment as an_environment
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host

__all__ = ["an_environment", "mock"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engineer's home without keys, and no ssh-agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("SLIPWAY_SIGNING_KEY", raising=False)
    return folder


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = str(tmp_path / "agent")
    said = subprocess.run(
        ["ssh-agent", "-s", "-a", socket], capture_output=True, text=True, check=True
    ).stdout
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    yield
    os.kill(int(said.partition("SSH_AGENT_PID=")[2].partition(";")[0]), signal.SIGTERM)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = support.good_bundle(tmp_path)
    return Bundle(path, support.sha256(path), RELEASE, "shop")


def loaded(who: Engineer) -> None:
    """Into the agent, and gone from the disk."""
    subprocess.run(["ssh-add", "-q", str(who.key)], check=True, capture_output=True)
    who.key.unlink()


def by(*who: Engineer, key: Path | None = None) -> Signing:
    return Signing(True, key, tuple(Signer(each.name, each.public) for each in who))


def taken(host: Host, slipway: Slipway, made: Bundle, *who: Engineer) -> Any:
    """What a host answers that lets these sign."""
    let_sign(host, *(each.line() for each in who))
    return slipway(*support.staging(made.path), f"--signature={made.signature}", given=made.path)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_a_named_key_signed_is_taken_by_a_host(
    host: Host, slipway: Slipway, bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    ada = engineer(tmp_path, "ada", kind)

    made = signing.signed(by(key=ada.key), bundle)

    assert made.signed_with == ada.fingerprint
    assert taken(host, slipway, made, ada).result["signed_by"] == "ada"


def test_of_several_keys_in_the_agent_the_one_that_may_sign_does(
    host: Host, slipway: Slipway, bundle: Bundle, tmp_path: Path, agent: None
) -> None:
    private, at_work, other = (engineer(tmp_path, name) for name in ("private", "ada", "other"))
    for each in (private, at_work, other):
        loaded(each)

    made = signing.signed(by(engineer(tmp_path, "bob"), at_work), bundle)

    assert made.signed_with == at_work.fingerprint
    assert taken(host, slipway, made, at_work).result["signed_by"] == "ada"


def test_a_key_whose_passphrase_the_agent_knows_needs_no_terminal(
    bundle: Bundle, tmp_path: Path, agent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = engineer(tmp_path, "ada")
    subprocess.run(["ssh-add", "-q", str(ada.key)], check=True, capture_output=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(ada.key)], check=True)

    assert signing.signed(by(key=ada.key), bundle).signature


def test_without_an_agent_a_usual_file_serves(home: Path, bundle: Bundle) -> None:
    ada = engineer(home / ".ssh", "id_ed25519")

    assert signing.signed(by(ada), bundle).signed_with == ada.fingerprint


@pytest.mark.parametrize("there", ["no agent", "an empty agent", "an agent with other keys"])
def test_whoever_has_no_key_is_told_who_may_and_what_to_type(
    bundle: Bundle, tmp_path: Path, request: pytest.FixtureRequest, there: str
) -> None:
    if there != "no agent":
        request.getfixturevalue("agent")
    if there == "an agent with other keys":
        loaded(engineer(tmp_path, "other"))
    said = {
        "no agent": "no ssh-agent answers",
        "an empty agent": "the ssh-agent has no key",
        "an agent with other keys": "none of the 1 key(s) in the ssh-agent is theirs",
    }[there]

    with pytest.raises(RefusedError) as refused:
        signing.signed(by(engineer(tmp_path, "ada"), engineer(tmp_path, "bob")), bundle)

    for part in (
        "lets ada, bob sign",
        said,
        "Nothing was signed, and nothing shipped",
        "ssh-add",
        "SLIPWAY_SIGNING_KEY=FILE",
    ):
        assert part in str(refused.value)


def test_a_key_with_a_passphrase_is_not_waited_for_without_a_terminal(bundle: Bundle, tmp_path: Path) -> None:
    ada = engineer(tmp_path, "ada", passphrase="a secret")

    with pytest.raises(RefusedError, match=r"incorrect passphrase .* load it first: ssh-add"):
        signing.signed(by(key=ada.key), bundle)


@pytest.mark.parametrize("named", ["missing", "no key", "a folder"])
def test_a_named_key_that_is_none_is_refused_by_its_name(bundle: Bundle, tmp_path: Path, named: str) -> None:
    path = tmp_path / "with a blank"
    if named == "no key":
        path.write_text("nothing of the kind")
    elif named == "a folder":
        path.mkdir()

    with pytest.raises(RefusedError, match="ssh-keygen finds none there") as refused:
        signing.signed(by(key=path), bundle)

    assert str(path) in str(refused.value)


def test_a_key_file_whose_name_has_a_blank_signs(bundle: Bundle, tmp_path: Path) -> None:
    ada = engineer(tmp_path, "my key")

    assert signing.signed(by(key=ada.key), bundle).signed_with == ada.fingerprint


@pytest.mark.parametrize("which", ["missing", "old"])
def test_a_machine_whose_ssh_keygen_cannot_says_so(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    ada, programs = engineer(tmp_path, "ada"), tmp_path / "bin"
    programs.mkdir()
    if which == "old":
        old = programs / "ssh-keygen"
        old.write_text(
            f'#!/bin/sh\n[ "$1" = -l ] && echo "256 {ada.fingerprint} x" || '
            "{ echo 'unknown option -- Y' >&2; exit 1; }\n"
        )
        old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin" if which == "old" else str(programs))

    with pytest.raises(RefusedError, match={"missing": "has no ssh-keygen", "old": "8.9 or newer"}[which]):
        signing.signed(by(key=ada.key), bundle)


def test_no_secret_stands_in_an_argument(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, seen = engineer(tmp_path, "ada"), list[list[str]]()

    def ran(words: list[str], *given: Any, **more: Any) -> Any:
        seen.append(words)
        return signing_keys.ran(words, *given, **more)

    monkeypatch.setattr(signing, "ran", ran)

    signing.signed(by(key=ada.key), bundle)

    assert "PRIVATE" not in json.dumps(seen)
    assert "-N" not in seen[0]
    assert "-P" not in seen[0]


def test_what_was_signed_ahead_is_used_as_it_is(bundle: Bundle, tmp_path: Path) -> None:
    ada, bob = engineer(tmp_path, "ada"), engineer(tmp_path, "bob")
    path = signing.put_beside(signing.signed(by(key=ada.key), bundle))

    made = signing.signed(by(key=bob.key), bundle)

    assert path.name == f"{bundle.path.name}.sig"
    assert stat.S_ISREG(path.stat().st_mode)
    assert made.signed_with == ada.fingerprint
    assert signing.foreseen(by(key=bob.key), bundle) == ada.fingerprint


@pytest.mark.parametrize("how", ["another bundle's", "cut", "huge", "empty", "noise", "for a file"])
def test_a_signature_beside_it_that_does_not_fit_is_refused_and_never_made_up_for(
    bundle: Bundle, tmp_path: Path, how: str
) -> None:
    ada = engineer(tmp_path, "ada")
    other = support.good_bundle(tmp_path, OTHER)
    path = signing.put_beside(signing.signed(by(key=ada.key), bundle))
    good = path.read_bytes()
    wrong = {
        "another bundle's": replace(bundle, signature=ada.signs(other)),
        "for a file": replace(bundle, signature=ada.signs(bundle.path, "file")),
    }
    if how in wrong:
        signing.put_beside(wrong[how])
    else:
        path.write_bytes(
            {"cut": good[:100], "huge": good + b"A" * 10_000_000, "empty": b"", "noise": b"\xff\0"}[how]
        )

    with pytest.raises(RefusedError, match="is no signature") as refused:
        signing.signed(by(key=ada.key), bundle)

    assert str(path) in str(refused.value)


def test_where_nobody_has_to_sign_no_key_is_looked_for(bundle: Bundle) -> None:
    assert signing.signed(Signing(required=False), bundle) == bundle
    assert signing.foreseen(Signing(required=False), bundle) == ""


def test_the_role_signs_by_the_same_code(bundle: Bundle, tmp_path: Path) -> None:
    ada = engineer(tmp_path, "ada")
    words = {
        "bundle": str(bundle.path),
        "app": "shop",
        "key": "",
        "signers": [{"name": "ada", "key": ada.public}],
    }
    command = [sys.executable, "-m", "fabfile.bundle.signing"]

    refused = subprocess.run(command, input=json.dumps(words), capture_output=True, text=True)
    done = subprocess.run(
        command, input=json.dumps({**words, "key": str(ada.key)}), capture_output=True, text=True
    )

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("No key to sign the bundle with. The inventory lets ada sign")
    assert json.loads(done.stdout) == {
        "signature": ada.signs(bundle.path),
        "signed_with": ada.fingerprint,
    }


def test_a_build_for_an_environment_puts_the_signature_beside_the_bundle(
    an_environment: Environment, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ada = engineer(tmp_path, "ada")
    monkeypatch.setattr(environment, "load", lambda name: replace(an_environment, signing=by(key=ada.key)))
    monkeypatch.setattr(building, "built", lambda *given: bundle)

    building.build.body(Context(), env="production")
    signed_for_it = capsys.readouterr().out
    Path(f"{bundle.path}.sig").unlink()
    building.build.body(Context())

    assert f"signed   {ada.fingerprint}" in signed_for_it
    assert "signed   not yet: fab deploy signs it" in capsys.readouterr().out
    assert not Path(f"{bundle.path}.sig").exists()


def test_a_minute_of_building_is_not_spent_when_there_is_no_key(
    an_environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(an_environment, signing=by(engineer(tmp_path, "ada")))
    monkeypatch.setattr(running, "chosen", lambda *given: found)
    monkeypatch.setattr(deploy, "require_free", lambda *given: None)
    monkeypatch.setattr(building, "built", lambda *given, **more: pytest.fail("it was built"))

    with pytest.raises(Exit, match="No key to sign") as ended:
        rollouts.deploy.body(Context())

    assert ended.value.code == 2


# What the hosts say beforehand.


def planned(
    environment: Environment, found: dict[str, Any] | None, signed_with: str, bundle: Bundle
) -> list[str]:
    said = {**status(NEW)["result"], **({"signatures": found} if found else {})}
    states = {"app-1": state.HostState("app-1", said, {NEW: row(NEW, state="live")})}
    return plan.make(environment, manifest_of(bundle.path), states, signed_with).problems


@pytest.mark.parametrize(
    ("required", "found", "signed_with", "problem"),
    [
        (True, {"required": True, "signers": {"ada": "SHA256:a"}}, "SHA256:a", None),
        (
            True,
            {"required": True, "signers": {"ada": "SHA256:a"}},
            "SHA256:b",
            "app-1 lets ada sign, and the bundle is",
        ),
        (True, {"required": True, "signers": {}}, "SHA256:b", "app-1 lets nobody sign"),
        (True, {"required": False, "signers": {}}, "SHA256:b", None),
        (True, None, "SHA256:b", "the slipway of app-1 is older and takes no signatures"),
        (False, None, "", None),
        (
            False,
            {"required": True, "signers": {}},
            "",
            "takes signed bundles alone, and the inventory says otherwise",
        ),
    ],
)
def test_a_plan_names_the_host_that_would_not_take_the_signature(
    an_environment: Environment,
    bundle: Bundle,
    required: bool,
    found: Any,
    signed_with: str,
    problem: str | None,
) -> None:
    environment = replace(an_environment, signing=Signing(required))

    said = planned(environment, found, signed_with, bundle)

    assert bool(said) == bool(problem), said
    assert problem is None or problem in said[0]


def test_a_plan_without_a_key_says_so_and_a_deploy_ships_nothing(
    mock: Any, an_environment: Environment, bundle: Bundle, tmp_path: Path
) -> None:
    environment = replace(an_environment, signing=by(engineer(tmp_path, "ada")))
    expect(mock, answers(status(NEW), listed(row(NEW, state="live"))))

    assert "IN THE WAY: No key to sign the bundle with." in deploy.make_plan(environment, bundle).text()
    with pytest.raises(RefusedError, match="No key to sign"):
        deploy.deploy(environment, None, bundle, deploy.Options())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "variable", "expected"),
    [
        ({}, "", Signing(True)),
        ({"release_signatures_required": False}, "", Signing(False)),
        ({"deploy_signing_key": "/keys/ci"}, "", Signing(True, Path("/keys/ci"))),
        ({"deploy_signing_key": "/keys/ci"}, "/keys/mine", Signing(True, Path("/keys/mine"))),
        (
            {"release_signers": [{"name": "ada", "key": "ssh-ed25519 AAAA", "until": "2027-01-31"}]}, "",
            Signing(True, None, (Signer("ada", "ssh-ed25519 AAAA"),)),
        ),
    ],
)  # fmt: skip
def test_an_environment_says_what_to_sign_with(
    values: dict[str, Any], variable: str, expected: Signing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", variable)
    listed_ = {"_meta": {"hostvars": {"app-1": values}}}

    assert environment._signing(Variables(listed_, tmp_path), "app-1") == expected
