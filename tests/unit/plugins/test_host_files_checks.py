"""The daemons' checkers see the new files in place under /etc before any other process does."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

__all__ = ["files_host"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root lays a private view over /etc")

# The view of a process that is no part of the check: this one's.
OUTSIDE = f"/proc/{os.getpid()}/root"


@pytest.fixture
def under_etc(files_host: FilesHost) -> Iterator[Path]:
    """A path below /etc that nothing else uses, gone again afterwards."""
    path = Path(f"/etc/slipway-test-{secrets.token_hex(6)}.conf")
    yield path
    path.unlink(missing_ok=True)


def shell(script: str, path: Path) -> dict[str, object]:
    return {"argv": ["sh", "-c", script, "sh", str(path)], "needs": []}


def test_a_check_that_fails_leaves_everything_as_it_was_and_its_words_are_shown(
    files_host: FilesHost, under_etc: Path
) -> None:
    under_etc.write_text("old\n")
    before = files_host.everything()
    refused = shell('grep -qx old "$1" || { echo "line 3: unknown directive" >&2; exit 1; }', under_etc)

    sentence = files_host.refusal(
        files_host.file("site.conf", "new\n"), files_host.file(str(under_etc), "new\n"), checks=[refused]
    )

    assert "refuses the new files. Nothing was changed on this host; mend the inventory" in sentence
    assert sentence.endswith("It said:\nline 3: unknown directive")
    assert files_host.everything() == before
    assert under_etc.read_text() == "old\n"


def test_a_check_sees_the_new_content_while_everyone_else_sees_the_old(
    files_host: FilesHost, under_etc: Path
) -> None:
    under_etc.write_text("old\n")
    script = f'grep -qx new "$1" && grep -qx old "{OUTSIDE}$1"'

    files_host.state(files_host.file(str(under_etc), "new\n"), checks=[shell(script, under_etc)])

    assert under_etc.read_text() == "new\n"


def test_a_check_sees_owner_and_mode(files_host: FilesHost, under_etc: Path) -> None:
    wanted = files_host.file(str(under_etc), "new\n", owner="daemon", mode="0440")
    script = 'found=$(stat -c "%U %a" "$1"); echo "$found"; [ "$found" = "daemon 440" ]'

    files_host.state(wanted, checks=[shell(script, under_etc)], check=True)

    assert not under_etc.exists()


def test_a_check_sees_the_rest_of_etc_with_the_modes_it_has(files_host: FilesHost, under_etc: Path) -> None:
    script = f'[ -e /etc/passwd ] && [ "$(stat -c %a /etc)" = "$(stat -c %a {OUTSIDE}/etc)" ]'

    files_host.state(files_host.file(str(under_etc), "new\n"), checks=[shell(script, under_etc)])


def test_a_check_sees_that_a_file_is_gone(files_host: FilesHost, under_etc: Path) -> None:
    files_host.state(files_host.file(str(under_etc), "ours\n"))

    files_host.state(checks=[shell(f'[ ! -e "$1" ] && [ -e "{OUTSIDE}$1" ]', under_etc)])

    assert not under_etc.exists()


def test_a_check_sees_the_original_that_comes_back(files_host: FilesHost, under_etc: Path) -> None:
    under_etc.write_text("the package's\n")
    files_host.state(files_host.file(str(under_etc), "ours\n"))

    files_host.state(checks=[shell('grep -qx "the package.s" "$1"', under_etc)])

    assert under_etc.read_text() == "the package's\n"


def test_a_check_of_ours_runs_as_it_will_be_and_not_as_it_was(files_host: FilesHost) -> None:
    """The set brings its own checker: the new rules of a new version are in force at once."""
    checker = Path(f"/usr/local/lib/slipway/test-{secrets.token_hex(6)}")
    there = checker.parent.is_dir()
    checker.parent.mkdir(parents=True, exist_ok=True)
    checker.write_text("#!/bin/sh\nexit 0\n")
    checker.chmod(0o755)
    new = files_host.file(str(checker), "#!/bin/sh\necho refused by the new one; exit 1\n", mode="0755")
    try:
        sentence = files_host.refusal(new, checks=[{"argv": [str(checker)], "needs": [str(checker)]}])
        assert checker.read_text().endswith("exit 0\n")
    finally:
        checker.unlink()
        if not there:
            checker.parent.rmdir()

    assert sentence.endswith("refused by the new one")


def test_what_stands_on_the_host_already_is_not_blamed_on_the_new_files(
    files_host: FilesHost, under_etc: Path
) -> None:
    """As `visudo -c`, which judges everybody's rules: one of somebody else refuses all that comes."""
    under_etc.write_text("theirs\n")
    ours = files_host.file("rules", "ours\n")
    check = shell('grep -qx right "$1" || { echo "$1: bad rules"; exit 1; }', under_etc)

    sentence = files_host.refusal(ours, checks=[check])

    assert "as it refuses what stands on this host without them" in sentence
    assert "Nothing was changed on this host; mend first what it says" in sentence
    assert sentence.count(f"{under_etc}: bad rules") == 1
    assert not files_host.path("rules").exists()


@pytest.mark.parametrize("denies", ["mount", "unshare"])
def test_a_kernel_that_denies_the_view_is_not_told_as_a_refusal_of_the_files(
    files_host: FilesHost, under_etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denies: str
) -> None:
    (tmp_path / denies).write_text("#!/bin/sh\necho permission denied >&2\nexit 1\n")
    (tmp_path / denies).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    sentence = files_host.refusal(files_host.file(str(under_etc), "new\n"), checks=[shell("true", under_etc)])

    assert "No private view of /etc could be made" in sentence
    assert "permission denied" in sentence
    assert "refuses the new files" not in sentence
    assert not under_etc.exists()


def test_root_may_have_a_folder_for_temporary_files_of_its_own(
    files_host: FilesHost, under_etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with libpam-tmpdir and a mask of 077: whoever a check runs as reads the new files all the same."""
    own = tmp_path / "user-0"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(own))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = os.umask(0o077)
    try:
        files_host.state(
            files_host.file(str(under_etc), "new\n"),
            checks=[shell('runuser --user=nobody -- grep -qx new "$1"', under_etc)],
        )
    finally:
        os.umask(before)

    assert under_etc.stat().st_mode & 0o777 == 0o644


def test_a_check_runs_in_check_mode_too(files_host: FilesHost, under_etc: Path) -> None:
    refused = shell("exit 1", under_etc)

    sentence = files_host.refusal(files_host.file(str(under_etc), "new\n"), checks=[refused], check=True)

    assert "refuses the new files" in sentence


def test_a_check_of_a_bare_host_names_what_cannot_be_checked_yet(files_host: FilesHost) -> None:
    absent = str(files_host.path("usr/sbin/daemon"))
    check = {"argv": [absent, "-t"], "needs": [absent]}

    answer = files_host.state(files_host.file("site.conf", "new\n"), checks=[check], check=True)

    assert answer["unchecked"] == [f"{absent} -t was not run: {absent} does not exist yet."]


def test_files_that_nothing_has_checked_do_not_go_live(files_host: FilesHost) -> None:
    absent = str(files_host.path("usr/sbin/daemon"))
    check = {"argv": [absent, "-t"], "needs": [absent]}

    sentence = files_host.refusal(files_host.file("site.conf", "new\n"), checks=[check])

    assert "does not exist yet. Nothing was changed on this host" in sentence
    assert not files_host.path("site.conf").exists()


def test_a_check_does_not_run_when_nothing_changes(files_host: FilesHost, under_etc: Path) -> None:
    wanted = files_host.file(str(under_etc), "same\n")
    files_host.state(wanted)

    assert not files_host.state(wanted, checks=[shell("exit 1", under_etc)])["changed"]


def test_a_renewed_certificate_is_checked_before_anything_reloads(files_host: FilesHost) -> None:
    certificate = files_host.path("host.pem")
    certificate.write_text("not a certificate\n")
    check = {"argv": ["openssl", "x509", "-noout", "-in", str(certificate)], "needs": []}

    sentence = files_host.refusal(watch=[str(certificate)], checks=[check])

    assert "openssl x509 -noout" in sentence
    assert "refuses the new files" in sentence
