"""What runs in a container: as whom, with what it may do, how it ends, and what becomes of what goes wrong."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import hardened
from tests.containers.engine import Engine
from tests.containers.hardened import CREDENTIALS, FLAGS, Running
from tests.containers.images import Built

pytestmark = [pytest.mark.long, pytest.mark.containers]

SETTINGS = {
    "SHOP_ENVIRONMENT": "test",
    "SHOP_DATABASE_HOST": "/run/postgresql",
    "CREDENTIALS_DIRECTORY": CREDENTIALS,
}
LIVE = "/health/live"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the container's user may read."""
    folder = tmp_path_factory.mktemp("credentials")
    (folder / "secret_key").write_text(secrets.token_urlsafe(48))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def served(engine: Engine, shop: Built, credentials: Path) -> Iterator[Running]:
    """Return the shop, without its database, as production runs it."""
    mounts = {credentials: CREDENTIALS}
    with hardened.container(engine, shop.name, name="shop", settings=SETTINGS, mounts=mounts) as running:
        running.answers(LIVE)
        yield running


@pytest.mark.share
def test_each_answer_names_its_release(served: Running, shop: Built) -> None:
    status, headers, _ = served.get(LIVE)

    assert status == 200
    assert headers["x-release"] == shop.bundle.release


@pytest.mark.share
def test_process_1_is_the_server_and_may_do_nothing(served: Running) -> None:
    said = served.python(
        "import json; print(json.dumps([dict(line.strip().split(':', 1) for line in open('/proc/1/status')),"
        " open('/proc/1/cmdline').read().split('\\0')]))"
    )

    status, words = {name: value.strip() for name, value in said[0].items()}, said[1]
    assert words[:2] == ["/srv/release/venv/bin/python", "/srv/release/start"]
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


WRITING = """\
import json, os
written = []
for folder, folders, _ in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
    path = os.path.join(folder, "written")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except OSError:
        continue
    os.unlink(path)
    written.append(folder)
print(json.dumps(written))
"""


@pytest.mark.share
def test_nothing_can_be_written_but_to_memory(served: Running) -> None:
    written = served.python(WRITING)

    memory = ("/tmp", "/run", "/var/tmp", "/dev/shm", "/dev/mqueue")
    assert "/tmp" in written
    assert [folder for folder in written if not folder.startswith(memory)] == []


@pytest.mark.share
def test_no_file_makes_its_caller_another_and_none_installs_or_compiles(served: Running) -> None:
    found = served.python(
        "import json, os, shutil, stat\n"
        "names = 'apt apt-get dpkg perl pip pip3 gcc cc ld as make mount su passwd curl wget'.split()\n"
        "files = [os.path.join(folder, name) for folder, _, names in os.walk('/usr') for name in names]\n"
        "setuid = [path for path in files if os.lstat(path).st_mode & 0o6000]\n"
        "import importlib.util as util\n"
        "modules = [name for name in ('pip', 'ensurepip', 'setuptools') if util.find_spec(name)]\n"
        "print(json.dumps([setuid, [name for name in names if shutil.which(name)], modules]))"
    )

    assert found == [[], [], []]


def test_a_program_that_would_make_its_caller_root_does_not(
    engine: Engine, shop: Built, tmp_path: Path
) -> None:
    shell = tmp_path / "id"
    shell.write_bytes(Path("/usr/bin/id").read_bytes())
    shell.chmod(0o4755)
    tmp_path.chmod(0o755)

    done = hardened.once(
        engine, shop.name, "-u", mounts={tmp_path: "/mnt"}, flags=(*FLAGS, "--entrypoint=/mnt/id")
    )

    assert done.stdout.strip() == "10001", done.stderr


@pytest.mark.share
def test_without_a_database_it_is_alive_and_not_ready(engine: Engine, served: Running) -> None:
    live = engine.run("podman", "healthcheck", "run", served.name)
    ready = engine.run("podman", "exec", served.name, "python", "-I", "/srv/release/probe", "ready")

    assert live.returncode == 0
    assert ready.returncode == 1
    assert "/health/ready answered 503." in ready.stderr


def test_at_a_socket_it_is_asked_there(engine: Engine, shop: Built, credentials: Path) -> None:
    settings = {**SETTINGS, "SLIPWAY_SOCKET": "/tmp/http.sock"}
    mounts = {credentials: CREDENTIALS}
    with hardened.container(engine, shop.name, name="socket", settings=settings, mounts=mounts) as running:
        hardened.wait_for(
            lambda: engine.run("podman", "healthcheck", "run", running.name).returncode == 0, "it is alive"
        )

        with pytest.raises(OSError, match="refused"):
            running.get(LIVE)


def test_where_nothing_answers_the_health_check_says_so(engine: Engine, shop: Built) -> None:
    done = hardened.once(
        engine,
        shop.name,
        "-I",
        "/srv/release/probe",
        flags=(*FLAGS, "--entrypoint=/srv/release/venv/bin/python"),
    )

    assert done.returncode == 1
    assert "/health/live gave no answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_that_is_killed_comes_back(engine: Engine, served: Running) -> None:
    before = served.children()
    assert len(before) == 2

    engine.podman("exec", served.name, "python", "-I", "-c", f"import os; os.kill({before[0]}, 9)")
    served.answers(LIVE)

    hardened.wait_for(
        lambda: len(served.children()) == 2 and served.children() != before, "two workers, one of them new"
    )
    assert served.status["Running"]


BOMB = """\
import json, os, time
made = []
try:
    for _ in range(2000):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        made.append(child)
except OSError as failure:
    said = failure.strerror
else:
    said = "not stopped"
for child in made:
    os.kill(child, 9)
    os.waitpid(child, 0)
print(json.dumps([said, len(made)]))
"""


def test_a_fork_bomb_ends_at_its_limit_and_the_service_serves_on(served: Running) -> None:
    said, made = served.python(BOMB)

    assert said == "Resource temporarily unavailable"
    assert made < 100
    assert served.get(LIVE)[0] == 200


def test_who_takes_too_much_memory_ends_alone(engine: Engine, shop: Built, served: Running) -> None:
    flags = (*FLAGS, "--memory=64m", "--memory-swap=64m", "--entrypoint=/srv/release/venv/bin/python")

    done = hardened.once(engine, shop.name, "-c", "b = bytearray(200_000_000); print(len(b))", flags=flags)

    assert (done.returncode, done.stdout) == (137, "")
    assert served.get(LIVE)[0] == 200


@pytest.mark.share
def test_told_to_end_it_answers_what_is_under_way(engine: Engine, shop: Built, credentials: Path) -> None:
    with hardened.container(
        engine, shop.name, name="ending", settings=SETTINGS, mounts={credentials: CREDENTIALS}
    ) as running:
        took = running.answers(LIVE)
        body = b"username=ada%40example.com&password=not+the+one"
        with running.connection() as slow:
            slow.putrequest("POST", "/api/v1/auth/login")
            slow.putheader("Content-Type", "application/x-www-form-urlencoded")
            slow.putheader("Content-Length", str(len(body)))
            slow.endheaders(body[:10])
            time.sleep(0.3)
            ending = threading.Thread(target=running.stop)
            ending.start()
            time.sleep(1.5)
            slow.send(body[10:])
            answer = slow.getresponse()
            said = answer.read()
            ending.join()
        state = running.status

    print(f"live after {took:.1f} s")
    # Its database is not there; what counts is that somebody was told so, and by whom.
    assert answer.status == 503, said
    assert answer.headers["X-Release"] == shop.bundle.release
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


@pytest.mark.share
def test_idle_it_ends_at_once_and_in_order(engine: Engine, shop: Built, credentials: Path) -> None:
    with hardened.container(
        engine, shop.name, name="idle", settings=SETTINGS, mounts={credentials: CREDENTIALS}
    ) as running:
        started = running.answers(LIVE)
        took = running.stop()
        state, logs = running.status, running.logs()

    print(f"live after {started:.1f} s, ended after {took:.1f} s")
    assert state["ExitCode"] == 0
    assert '"event":"Application shutdown complete."' in logs


def spoiled(folder: Path, how: str) -> Path:
    """A folder of credentials with something wrong in it."""
    key = folder / "secret_key"
    folder.chmod(0o755)
    if how != "missing":
        key.write_text("" if how == "empty" else secrets.token_urlsafe(48))
    if how == "unreadable":
        key.chmod(0o600)
    return folder


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", "The credential secret_key is not set"),
        ("empty", "The credential secret_key "),
        pytest.param("unreadable", "cannot be read: secret_key, Permission denied.", marks=pytest.mark.share),
    ],
)
def test_a_secret_that_cannot_be_used_is_a_sentence(
    engine: Engine, shop: Built, tmp_path: Path, how: str, sentence: str
) -> None:
    done = hardened.once(engine, shop.name, settings=SETTINGS, mounts={spoiled(tmp_path, how): CREDENTIALS})

    assert done.returncode == 78, done.stderr
    assert sentence in done.stderr
    assert f"The check of release {shop.bundle.release} ended with 78; nothing was started." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["missing", "empty", "unreadable"])
def test_a_migration_says_what_is_wrong_with_its_password(
    engine: Engine, shop: Built, tmp_path: Path, how: str
) -> None:
    password = spoiled(tmp_path, how) / "migrate_database_password"
    if how != "missing":
        (tmp_path / "secret_key").rename(password)

    done = hardened.once(
        engine,
        shop.name,
        "migrate",
        settings={
            **SETTINGS,
            "SHOP_DATABASE_HOST": "database",
            "SHOP_DATABASE_CA": "/etc/ssl/certs/ca-certificates.crt",
        },
        mounts={tmp_path: CREDENTIALS},
    )

    assert done.returncode not in (0, 125, 126, 127), done.stdout
    assert "The credential migrate_database_password " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_that_the_release_has_not_is_named(engine: Engine, shop: Built) -> None:
    done = hardened.once(engine, shop.name, "dance")

    assert done.returncode == 1
    assert f"Release {shop.bundle.release} has no 'dance'; it has purge, migrate, backfill." in done.stderr
