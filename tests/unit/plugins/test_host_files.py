"""A host gets exactly the files of its inventory, keeps everything else, and is told what changed."""

from __future__ import annotations

import os

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

__all__ = ["files_host"]

SECRET = "kept-from-every-diff"


def test_a_new_file_is_written_and_a_second_run_changes_nothing(files_host: FilesHost) -> None:
    wanted = files_host.file("web/site.conf", "listen 80;\n", mode="0640")

    first = files_host.state(wanted)
    before = files_host.everything()
    second = files_host.state(wanted)

    assert first["changed"]
    assert first["written"] == [str(files_host.path("web/site.conf"))]
    assert files_host.path("web/site.conf").read_text() == "listen 80;\n"
    assert oct(files_host.path("web/site.conf").stat().st_mode & 0o7777) == "0o640"
    assert not second["changed"]
    assert second["diff"] == []
    assert files_host.everything() == before


def test_changed_content_is_replaced_by_a_rename_and_shown(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "old\n"))
    inode = files_host.path("site.conf").stat().st_ino

    answer = files_host.state(files_host.file("site.conf", "new\n"))

    assert files_host.path("site.conf").read_text() == "new\n"
    assert files_host.path("site.conf").stat().st_ino != inode
    assert answer["diff"] == [
        {
            "before_header": str(files_host.path("site.conf")),
            "after_header": str(files_host.path("site.conf")),
            "before": "root:root 0644\nold\n",
            "after": "root:root 0644\nnew\n",
        }
    ]


def test_a_mode_alone_is_mended_in_place(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "same\n"))
    inode = files_host.path("site.conf").stat().st_ino
    files_host.path("site.conf").chmod(0o666)

    answer = files_host.state(files_host.file("site.conf", "same\n"))

    assert answer["changed"]
    assert answer["diff"][0]["before"] == "root:root 0666\n"
    assert answer["diff"][0]["after"] == "root:root 0644\n"
    assert files_host.path("site.conf").stat().st_mode & 0o7777 == 0o644
    assert files_host.path("site.conf").stat().st_ino == inode


def test_owner_and_group_are_stated(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "same\n"))

    answer = files_host.state(files_host.file("site.conf", "same\n", owner="daemon", group="daemon"))

    assert answer["diff"][0]["after"] == "daemon:daemon 0644\n"
    assert files_host.path("site.conf").owner() == "daemon"
    assert files_host.path("site.conf").group() == "daemon"


def test_a_directory_that_drifted_is_mended_and_keeps_what_is_in_it(files_host: FilesHost) -> None:
    folder = {"path": str(files_host.path("srv")), "owner": "root", "group": "root", "mode": "0750"}
    files_host.state(directories=[folder])
    files_host.path("srv/upload").write_text("a customer's\n")
    files_host.path("srv").chmod(0o777)

    answer = files_host.state(directories=[folder])

    assert answer["written"] == [str(files_host.path("srv"))]
    assert files_host.path("srv").stat().st_mode & 0o7777 == 0o750
    assert files_host.path("srv/upload").read_text() == "a customer's\n"


def test_a_link_is_made_turned_and_left_alone(files_host: FilesHost) -> None:
    def link(target: str) -> bool:
        entry = {"path": str(files_host.path("localtime")), "target": target}
        return bool(files_host.state(links=[entry])["changed"])

    assert link("/usr/share/zoneinfo/Etc/UTC")
    assert not link("/usr/share/zoneinfo/Etc/UTC")
    assert link("/usr/share/zoneinfo/Europe/Berlin")
    assert os.readlink(files_host.path("localtime")) == "/usr/share/zoneinfo/Europe/Berlin"


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_something_else_in_the_way_is_named_and_left(files_host: FilesHost, kind: str) -> None:
    stands = files_host.path("thing")
    if kind == "directory":
        stands.write_text("a file\n")
    else:
        stands.mkdir()
    attributes = {"owner": "root", "group": "root", "mode": "0755"}
    before = files_host.everything()

    if kind == "file":
        sentence = files_host.refusal(files_host.file("thing", "text\n"))
    elif kind == "directory":
        sentence = files_host.refusal(directories=[{"path": str(stands), **attributes}])
    else:
        sentence = files_host.refusal(links=[{"path": str(stands), "target": "/elsewhere"}])

    assert sentence.startswith(f"{stands} is to be a {kind} but is")
    assert "Nothing was changed; move it away." in sentence
    assert files_host.everything() == before


def test_a_parent_that_is_a_file_is_named(files_host: FilesHost) -> None:
    files_host.path("web").write_text("a file\n")

    sentence = files_host.refusal(files_host.file("web/site.conf", "text\n"))

    assert sentence == (
        f"{files_host.path('web/site.conf')} cannot exist: one of its parents is a file. Nothing was changed."
    )


def test_a_watched_file_counts_when_its_content_changed_and_when_it_appears(files_host: FilesHost) -> None:
    certificate = files_host.path("host.pem")

    def run() -> list[str]:
        answer = files_host.state(files_host.file("site.conf", "same\n"), watch=[str(certificate)])
        assert answer["changed"] or not answer["renewed"]
        return list(answer["renewed"])

    assert run() == []
    certificate.write_text("first certificate\n")
    assert run() == [str(certificate)]
    assert run() == []
    certificate.write_text("second certificate\n")
    assert run() == [str(certificate)]
    assert certificate.read_text() == "second certificate\n"


def test_a_secret_is_in_no_diff_from_its_first_day_to_its_last(files_host: FilesHost) -> None:
    def secret(text: str, mode: str = "0600") -> dict[str, object]:
        return files_host.file("password", text, mode=mode, secret=True)

    answers = [
        files_host.state(secret(f"{SECRET}-1\n")),
        files_host.state(secret(f"{SECRET}-2\n"), check=True),
        files_host.state(secret(f"{SECRET}-2\n")),
        files_host.state(secret(f"{SECRET}-2\n", mode="0640")),
        files_host.state(check=True),
        files_host.state(),
    ]

    assert all(answer["changed"] for answer in answers)
    for answer in answers:
        assert SECRET not in str(answer)
    assert "(content not shown: it is a secret)" in answers[0]["diff"][0]["after"]


def test_check_mode_says_what_would_change_and_changes_nothing(files_host: FilesHost) -> None:
    files_host.state(files_host.file("a", "old\n"), files_host.file("gone", "old\n"), has_handler=True)
    before = files_host.everything()
    folder = {"path": str(files_host.path("srv")), "owner": "root", "group": "root", "mode": "0755"}
    link = {"path": str(files_host.path("link")), "target": "/elsewhere"}

    answer = files_host.state(
        files_host.file("a", "new\n"), directories=[folder], links=[link], has_handler=True, check=True
    )

    assert answer["changed"]
    assert answer["written"] == [str(files_host.path(name)) for name in ("srv", "a", "link")]
    assert answer["removed"] == [str(files_host.path("gone"))]
    assert files_host.everything() == before
    assert files_host.state(in_force=True, check=True)["changed"]
    assert files_host.everything() == before


def test_an_unknown_owner_is_a_sentence_and_in_check_mode_only_a_change(files_host: FilesHost) -> None:
    wanted = files_host.file("site.conf", "text\n", owner="nobody-has-this-name")

    assert files_host.state(wanted, check=True)["changed"]
    assert files_host.refusal(wanted) == (
        f"{files_host.path('site.conf')} is to belong to the user nobody-has-this-name, "
        "which this host does not have."
    )
    assert not files_host.path("site.conf").exists()
