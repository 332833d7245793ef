"""Another release in a machine's two containers: what is refused, in which order, what a kill or a failure leaves."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from fabfile.containers import engine, replacing, standing
from fabfile.containers.engine import CommandError
from fabfile.containers.project import SLOTS, Image, Project, Slot
from fabfile.containers.record import Journal, turn
from fabfile.errors import FailedError, LockedError, RefusedError, UnfinishedError
from fabfile.report import Report

ROOT = Path(__file__).parents[3]
OLD, NEW = "20260101T000000Z-aaaaaaa", "20260102T000000Z-bbbbbbb"


class Killed(BaseException):
    """kill -9: nothing of the process runs after it."""


def image(release: str, *revisions: tuple[str, str]) -> Image:
    rows = [{"id": name, "kind": kind, "title": name} for name, kind in revisions]
    head = revisions[-1][0] if revisions else None
    return Image(
        f"localhost/shop:{release}", "shop", release, {"schema_head": head, "schema_revisions": rows}
    )


class Machine(Project):
    """A compose project that is two dictionaries. dies: before which call; fails: what of a release's calls fail."""

    def __init__(self, state: Path, *images: Image, serving: str = OLD, schema: str | None = "r1") -> None:
        self.state, self.known, self.schema = state, {each.name: each for each in images}, schema
        self.containers = dict.fromkeys(SLOTS, f"localhost/shop:{serving}") if serving else {}
        self.doors = set(self.containers)
        self.calls: list[str] = []
        self.seen: list[set[str]] = []
        self.dies, self.fails = -1, ""
        self.kept = ""

    def complaints(self) -> list[str]:
        return []

    def keep(self, image: Image) -> None:
        self._call("keep")
        self.kept = image.name

    def image(self, name: str) -> Image:
        return self.known[name]

    def slot(self, name: str, helper: Image | None) -> Slot:
        if name not in self.containers:
            return Slot(name)
        found = self.containers[name]
        return Slot(name, found, self.known[found].release, 200, name in self.doors, self.schema)

    def compose(self, *words: str, image: Image | None = None, tell: Any = None) -> str:
        self._call(" ".join(words))
        if words[0] == "run" and words[-1] == "migrate" and image:
            self.schema = image.head
            return json.dumps({"from": None, "to": image.head, "held_back": []})
        if "--force-recreate" in words and image:
            self.containers[words[-1]] = image.name
        if words[0] == "rm":
            self.containers.pop(words[-1], None)
        return ""

    def traffic(self, *words: str, image: Image | None = None) -> str:
        self._call(" ".join(words[:2]))
        assert image
        if words[0] == "close":
            self.doors.discard(words[1])
        elif self.fails and self.fails in words[2]:
            raise CommandError(f"{words[1]} has not proven itself")
        else:
            self.doors.add(words[1])
        return ""

    def _call(self, said: str) -> None:
        if len(self.calls) == self.dies:
            raise Killed
        self.calls.append(said)
        self.seen.append(self.answering)

    @property
    def answering(self) -> set[str]:
        return {name for name in self.doors if name in self.containers}


@pytest.fixture
def old() -> Image:
    return image(OLD, ("r1", "expand"))


@pytest.fixture
def new() -> Image:
    return image(NEW, ("r1", "expand"), ("r2", "expand"))


def deploy(machine: Machine, wanted: Image, back: bool = False) -> replacing.Moved:
    return replacing.deploy(machine, Report(), standing.Wish(wanted, back))


def test_migrations_come_first_and_then_one_container_after_the_other(
    tmp_path: Path, old: Image, new: Image
) -> None:
    machine = Machine(tmp_path, old, new)

    moved = deploy(machine, new)

    steps = [
        call
        for call in machine.calls
        if call.startswith(("close", "open", "up --detach --no-deps --force", "run"))
    ]
    assert steps == [
        "run --rm --no-deps -T migrate",
        *(
            step
            for name in SLOTS
            for step in (f"close {name}", f"up --detach --no-deps --force-recreate {name}", f"open {name}")
        ),
    ]
    assert moved.release == NEW
    assert machine.kept == new.name
    assert all(machine.seen), "nobody answered for a while"


def test_who_does_not_serve_is_replaced_first(tmp_path: Path, old: Image, new: Image) -> None:
    machine = Machine(tmp_path, old, new)
    machine.doors = {"api-1"}

    deploy(machine, new)

    assert [call for call in machine.calls if call.startswith("close")] == ["close api-2", "close api-1"]
    assert all(machine.seen), "nobody answered for a while"


@pytest.mark.parametrize("then", [NEW, OLD])
def test_a_run_that_is_killed_anywhere_leaves_somebody_who_answers_and_the_next_ends_it(
    tmp_path: Path, old: Image, new: Image, then: str
) -> None:
    whole = Machine(tmp_path, old, new)
    deploy(whole, new)
    for moment in range(len(whole.calls)):
        machine = Machine(tmp_path, old, new)
        machine.dies = moment
        with pytest.raises(Killed):
            deploy(machine, new)
        assert machine.answering, f"killed before {whole.calls[moment]!r}, nobody answers"

        machine.dies = -1
        deploy(machine, machine.known[f"localhost/shop:{then}"], back=then == OLD)

        assert set(machine.containers.values()) == {f"localhost/shop:{then}"}, whole.calls[moment]
        assert machine.answering == set(SLOTS), whole.calls[moment]
        assert all(machine.seen), whole.calls[moment]


def test_a_release_that_does_not_prove_itself_is_taken_back(tmp_path: Path, old: Image, new: Image) -> None:
    machine = Machine(tmp_path, old, new)
    machine.fails = NEW

    with pytest.raises(FailedError, match=f"api-1 has not proven itself(.|\n)*{NEW} was taken back"):
        deploy(machine, new)

    assert set(machine.containers.values()) == {old.name}
    assert machine.answering == set(SLOTS)
    assert not machine.kept
    assert all(machine.seen), "nobody answered for a while"


def test_what_cannot_be_taken_back_says_so(tmp_path: Path, old: Image, new: Image) -> None:
    machine = Machine(tmp_path, old, new)
    machine.fails = "--release="

    with pytest.raises(UnfinishedError, match="could not be put back"):
        deploy(machine, new)

    assert machine.answering == {"api-2"}


def test_a_release_that_the_schema_does_not_fit_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    before = image(OLD, ("r1", "expand"))
    after = image(NEW, ("r1", "expand"), ("r2", "contract"))
    machine = Machine(tmp_path, before, after, serving=NEW, schema="r2")

    with pytest.raises(RefusedError, match=r"r2 .* took away what it needs"):
        deploy(machine, before, back=True)

    assert not machine.calls


def test_a_deploy_applies_nothing_that_takes_away(tmp_path: Path, old: Image) -> None:
    later = image(NEW, ("r1", "expand"), ("r2", "expand"), ("r3", "contract"))
    wish = standing.Wish(later)

    found = standing.look(Machine(tmp_path, old, later), wish)

    assert "migrate: r2" in standing.plan(found, wish)
    assert "r3" not in standing.plan(found, wish)


def test_two_at_once_are_one_and_a_sentence(tmp_path: Path, old: Image, new: Image) -> None:
    machine = Machine(tmp_path, old, new)
    with turn(tmp_path, "ada, process 7"), pytest.raises(LockedError, match="by ada, process 7, since"):
        deploy(machine, new)

    assert not machine.calls


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], None),
        ([("begin", OLD)], None),
        ([("begin", OLD), ("live", OLD)], None),
        ([("live", OLD), ("begin", NEW), ("live", NEW)], OLD),
        ([("live", OLD), ("live", NEW), ("begin", NEW), ("live", NEW)], OLD),
        # Cut off: what was live when it began.
        ([("live", OLD), ("live", NEW), ("begin", "cut")], NEW),
        ([("live", OLD), ("live", NEW), ("begin", "cut"), ("failed", "cut")], NEW),
        # Taken back: what was live before that.
        ([("live", OLD), ("live", NEW), ("begin", "bad"), ("failed", "bad"), ("as-before", "bad")], OLD),
    ],
)
def test_the_way_back_leads_to_what_was_live(
    tmp_path: Path, steps: list[tuple[str, str]], expected: str | None
) -> None:
    journal = Journal(tmp_path)
    for step, release in steps:
        journal.write(step, release)
    with journal.path.open("a") as file:
        file.write('{"at": "cut o')

    found = journal.earlier()

    assert (found["release"] if found else None) == expected


def test_a_line_that_a_kill_has_cut_costs_none_after_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("live", OLD)
    with journal.path.open("a") as file:
        file.write('{"at": "cut o')

    journal.write("live", NEW)

    assert [row["release"] for row in journal.rows()] == [OLD, NEW]


def test_a_secret_with_another_owner_or_mode_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "composer", lambda: ["true"])
    monkeypatch.setattr(engine, "engine", lambda: "true")
    secret = tmp_path / "state/secrets/secret_key"
    secret.parent.mkdir(parents=True)
    secret.write_text("s" * 48)
    secret.chmod(0o600)

    found = Project(tmp_path).complaints()

    assert f"{secret} has owner {os.getuid()}:{os.getgid()} and mode 0600, not 0:10001 and 0440" in found
    assert f"{secret.with_name('database_password')} is not there" in found


def test_podman_compose_is_no_docker_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "podman-compose"
    program.write_text("#!/bin/sh\necho 1.0.3\n")
    program.chmod(0o755)
    monkeypatch.setenv("SLIPWAY_COMPOSE", str(program))

    with pytest.raises(RefusedError, match="no docker-compose of version 2"):
        engine.composer()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Release", OLD)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Path]:
    """A container's volume, with a socket at which release OLD answers."""
    folder = tmp_path / "api-1"
    folder.mkdir()
    with socketserver.ThreadingUnixStreamServer(str(folder / "http.sock"), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def traffic(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", ROOT / "containers/traffic.py", *words],
        env={"SLIPWAY_SOCKETS": str(folder.parent), "SLIPWAY_HEALTH": "/health/ready"},
        capture_output=True,
        text=True,
    )


def test_the_edge_is_let_in_once_the_release_that_was_meant_answers(slot: Path) -> None:
    other = traffic(slot, "open", "api-1", f"--release={NEW}", "--within=0.3")
    assert other.returncode == 1
    assert f"is answered by release {OLD}, not by {NEW}" in json.loads(other.stdout)["complaint"]
    assert not (slot / "live.sock").is_symlink()

    assert traffic(slot, "open", "api-1", f"--release={OLD}").returncode == 0
    assert (slot / "live.sock").resolve() == slot / "http.sock"
    assert json.loads(traffic(slot, "ask", "api-1").stdout)["open"]

    assert traffic(slot, "close", "api-1").returncode == 0
    assert not (slot / "live.sock").is_symlink()


def test_a_socket_that_nobody_answers_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "api-1").mkdir()

    done = traffic(tmp_path / "api-1", "open", "api-1", "--within=0")

    assert done.returncode == 1
    assert "api-1 has not proven itself" in json.loads(done.stdout)["complaint"]


def test_ctrl_c_takes_back_what_was_begun(
    tmp_path: Path, old: Image, new: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, old, new)
    whole = machine.traffic

    def interrupted(*words: str, image: Image | None = None) -> str:
        if words[0] == "open" and words[1] == "api-2" and "--release=" + NEW in words:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*words, image=image)

    monkeypatch.setattr(machine, "traffic", interrupted)

    with pytest.raises(FailedError, match=r"Interrupted by Ctrl-C(.|\n)*was taken back"):
        deploy(machine, new)

    assert set(machine.containers.values()) == {old.name}
    assert machine.answering == set(SLOTS)


class Deaf(Project):
    """docker-compose run over podman's socket: it ends with 0 whatever became of what it ran."""

    def __init__(self, says: str) -> None:
        self.says = says

    def compose(self, *words: str, image: Image | None = None, tell: Any = None) -> str:
        return self.says


@pytest.mark.parametrize("says", ["", "Traceback", '{"complaint": "api-1 has not proven itself"}'])
def test_what_does_not_say_that_it_is_done_is_not_done(says: str) -> None:
    with pytest.raises(CommandError, match=r"has not proven itself|did not come to its end"):
        Deaf(says).traffic("open", "api-1")


def test_a_migration_that_does_not_say_that_it_is_done_touches_no_container(
    tmp_path: Path, old: Image, new: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, old, new)
    whole = machine.compose

    def failing(*words: str, image: Image | None = None, tell: Any = None) -> str:
        if words[0] != "run":
            return whole(*words, image=image, tell=tell)
        tell('relation "orders" is in the way')
        return ""

    monkeypatch.setattr(machine, "compose", failing)

    with pytest.raises(FailedError, match=r"is in the way\nNo container of the service was touched"):
        deploy(machine, new)

    assert not [call for call in machine.calls if call.startswith("close")]
    assert set(machine.containers.values()) == {old.name}


def test_what_served_is_waited_for_however_little_the_new_one_was_given(
    tmp_path: Path, old: Image, new: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, old, new)
    machine.fails = NEW
    whole, opened = machine.traffic, []

    def seen(*words: str, image: Image | None = None) -> str:
        opened.extend([words[2:]] if words[0] == "open" else [])
        return whole(*words, image=image)

    monkeypatch.setattr(machine, "traffic", seen)

    with pytest.raises(FailedError):
        replacing.deploy(machine, Report(), standing.Wish(new, patience=5))

    assert opened == [(f"--release={NEW}", "--within=5"), (f"--release={OLD}", "--within=60")]
