"""`make dev`: the service on 127.0.0.1, reloaded on change, with a database of its own; Ctrl-C ends both.

Everything is kept in build/dev, so that the next time goes on with it. `--reset` deletes that.
"""

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster import DevelopmentCluster, die_with_parent

SERVICE = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("SHOP_DEV_FOLDER") or SERVICE.parent / "build" / "dev")
ADMIN = "admin@demo.example"
# What SHOP_DATABASE_HOST takes: a socket's address is 107 bytes at most.
LONGEST_FOLDER = 91
STOP_SECONDS = 10.0


class Refused(Exception):
    """Why nothing is started, in a sentence."""


@contextmanager
def alone() -> Iterator[None]:
    """Hold build/dev for this process."""
    if len(str(FOLDER)) > LONGEST_FOLDER:
        raise Refused(
            f"{FOLDER} is too long a path for PostgreSQL's socket: move the checkout. Nothing was started."
        )
    FOLDER.parent.mkdir(exist_ok=True)
    FOLDER.mkdir(exist_ok=True, mode=0o700)
    lock = FOLDER.with_name("dev.lock")
    with lock.open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                "Another make dev runs in this checkout: stop it with Ctrl-C first. Nothing was changed."
            ) from None
        yield


def require_free(port: int) -> None:
    """Raise Refused when something listens at the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refused(
                f"127.0.0.1:{port} cannot be used ({error.strerror}): stop what listens there, or choose "
                "another port: make dev PORT=8001. Nothing was started."
            ) from None


def environment() -> dict[str, str]:
    """What the service is given, as on a host by variables and credentials; the caller's own come first."""
    credentials = FOLDER / "credentials"
    credentials.mkdir(exist_ok=True, mode=0o700)
    key = credentials / "secret_key"
    if not key.exists():
        key.write_text(secrets.token_urlsafe(48))
        key.chmod(0o600)
    return {
        "SHOP_ENVIRONMENT": "development",
        "SHOP_RELEASE": "development",
        "SHOP_DATABASE_HOST": str(FOLDER),
        "SHOP_WORKERS": "1",
        "CREDENTIALS_DIRECTORY": str(credentials),
        **os.environ,
        "PYTHONPATH": str(SERVICE),
    }


def command(environ: dict[str, str], *words: str, given: str = "") -> str:
    """What a command of the service prints. Raises Refused with what it says against it."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=SERVICE,
        env=environ,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Refused(
            f"{' '.join(words)} failed:\n{done.stderr}To begin with an empty database: make dev-reset"
        )
    return done.stdout


def fill(environ: dict[str, str]) -> str:
    """Bring the database to the checkout's schema and fill it once; the password of everybody in it."""
    command(environ, "slipway_migrator", "migrate", "--contract")
    kept = FOLDER / "credentials" / "demo_password"
    if not kept.exists():
        made = json.loads(command(environ, "shop.cli", "seed-demo"))
        if not made["created"]:
            raise Refused(
                "The database was filled, and nobody kept the password. To begin anew: make dev-reset"
            )
        command(environ, "shop.cli", "create-admin", ADMIN, "--password-stdin", given=made["password"] + "\n")
        kept.touch(mode=0o600)
        kept.write_text(made["password"])
    return kept.read_text()


def serve(environ: dict[str, str], port: int, host: str = "127.0.0.1") -> int:
    """Run uvicorn until it ends or this process is told to; its exit status."""
    words = [
        "--factory",
        "shop.main:application",
        "--host",
        host,
        "--port",
        str(port),
        "--no-access-log",
    ]
    watched = ["--reload", "--reload-dir", "shop", "--reload-dir", "migrations"]
    uvicorn = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *words, *watched],
        cwd=SERVICE,
        env=environ,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        return uvicorn.wait()
    finally:
        if uvicorn.poll() is None:
            uvicorn.send_signal(signal.SIGINT)
            try:
                uvicorn.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                uvicorn.kill()


def develop(port: int) -> int:
    """Serve on this port until interrupted."""
    require_free(port)
    cluster = DevelopmentCluster(FOLDER)
    try:
        cluster.begin()
        environ = environment()
        password = fill(environ)
        print(
            f"http://127.0.0.1:{port}/docs    log in as {ADMIN}, or as another user, with {password}\n"
            f"psql -h {FOLDER} -U postgres shop",
            flush=True,
        )
        return serve(environ, port)
    finally:
        cluster.stop()


def develop_in_container(port: int) -> int:
    """Serve beside a database that runs already, to whoever reaches this container."""
    environ = environment()
    password = fill(environ)
    print(f"/docs    log in as {ADMIN}, or as another user, with {password}", flush=True)
    return serve(environ, port, "0.0.0.0")  # noqa: S104


def main() -> int:
    """Serve, or delete; 1 after a sentence on why not."""
    parser = argparse.ArgumentParser(prog="make dev", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="the port of 127.0.0.1 (%(default)s)")
    parser.add_argument("--reset", action="store_true", help="delete the database and the keys")
    parser.add_argument(
        "--in-container", action="store_true", help="beside the database that SHOP_DATABASE_HOST names"
    )
    chosen = parser.parse_args()
    # SIGTERM ends it as Ctrl-C does, which a shell's background job ignores unless told.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with alone():
            if chosen.reset:
                shutil.rmtree(FOLDER)
                return 0
            return (develop_in_container if chosen.in_container else develop)(chosen.port)
    except (Refused, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The data is kept: make dev goes on with it, make dev-reset deletes it.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
