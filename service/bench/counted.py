"""Count the instructions of a request with and without ids, access line and metrics: load changes none.

`service/run-bench 3.10 counted`, on a machine with valgrind; a minute, most of it imports. The application
answers in this process: no server, no socket, no database. What the kernel does for a request, such as the
write of its access line, is not in it.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from starlette.responses import Response

TURNS, REQUESTS, WARM_UP = 3, 100, 30
PATH = "/counted"
# What a host's probes ask every second.
PROBE = "/health/live"
HEADERS = [
    (b"host", b"shop.test"),
    (b"user-agent", b"bench"),
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"accept", b"*/*"),
]


async def _answer() -> Response:
    return Response(b"{}", media_type="application/json")


async def _ask(app: Any, times: int, path: str = PATH) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        return

    for _ in range(times):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "https", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": list(HEADERS), "client": ("192.0.2.7", 1), "server": ("shop.test", 443), "state": {},
        }  # fmt: skip
        await app(scope, receive, send)


def counted() -> None:
    """Within valgrind: each application in turns, each turn's count dumped under its letter."""
    from bench.variants import without_observability
    from shop.main import application

    apps = {"S": application(), "0": without_observability()}
    loop = asyncio.new_event_loop()
    for app in apps.values():
        app.add_api_route(PATH, _answer, methods=["GET"])
        loop.run_until_complete(_ask(app, WARM_UP))
    _control("--instr=on")
    for app in apps.values():
        loop.run_until_complete(_ask(app, WARM_UP))
    turns = [*((letter, app, PATH) for letter, app in apps.items()), ("L", apps["S"], PROBE)]
    for _ in range(TURNS):
        for letter, app, path in turns:
            _control("--zero")
            loop.run_until_complete(_ask(app, REQUESTS, path))
            _control(f"--dump={letter}")
    _control("--instr=off")


def _control(word: str) -> None:
    command = ["callgrind_control", word, str(os.getpid())]  # valgrind's own, on PATH as it is
    subprocess.run(command, check=True, capture_output=True)


def _environment(folder: Path) -> dict[str, str]:
    for name in ("secret_key", "database_password"):
        (folder / name).write_text(secrets.token_urlsafe(48))
    settings = {
        "ENVIRONMENT": "test",
        "RELEASE": "bench",
        "DATABASE_HOST": "/nonexistent",
        "ALLOWED_HOSTS": "*",
    }
    given = {f"SHOP_{name}": value for name, value in settings.items()}
    return {**os.environ, **given, "CREDENTIALS_DIRECTORY": str(folder)}


def main() -> int:
    """Print what each costs; 2 without valgrind."""
    if not shutil.which("valgrind"):
        print("There is no valgrind on this machine: apt-get install valgrind", file=sys.stderr)
        return 2
    found: dict[str, list[int]] = {"S": [], "0": [], "L": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        callgrind = [
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/of",
        ]
        command = [*callgrind, sys.executable, "-m", "bench.counted", "within"]
        subprocess.run(command, check=True, env=_environment(folder), stdout=subprocess.DEVNULL)
        for path in sorted(folder.glob("of.*"), key=lambda path: int(path.suffix[1:])):
            text = path.read_text()
            letter = text.partition("dump ")[2][:1]
            if letter in found:
                found[letter].append(int(text.partition("summary: ")[2].split()[0]) // REQUESTS)
    with_, without, probe = (sorted(found[letter])[TURNS // 2] for letter in ("S", "0", "L"))
    cost = with_ - without
    print(
        f"instructions a request: {with_:,} with ids, access line and metrics, {without:,} without: "
        f"{cost:,}, {100 * cost / with_:.1f} %; {probe:,} for {PROBE} "
        f"(medians of {TURNS} turns of {REQUESTS}: {found})"
    )
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["within"]:
        counted()
        # The lifespan was never begun, so there is nothing to end.
        os._exit(0)
    sys.exit(main())
