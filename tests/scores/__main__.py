"""Rate hardened hosts, booted for it; `--write` keeps what was measured.

    python -m tests.scores [--write]

Ends with 1 and a sentence for each score that fell, was not measured, or misses its target without a waiver.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.e2e import hosts
from tests.lab.errors import LabError
from tests.lab.host import Host
from tests.scores import lynis, postgresql, ssh, systemd, table, tls
from tests.scores.rated import SERVES, WATCHES, rated

ROOT = Path(__file__).resolve().parents[2]
PAGE, WAIVERS = ROOT / "docs/scores.md", Path(__file__).with_name("waivers.toml")
BEGIN, END = "<!-- scores -->\n", "<!-- /scores -->\n"
PATIENCE = 900.0


def audited(host: Host) -> str:
    """What ssh-audit writes about a host, from an environment of its own, made when it is not there."""
    folder = ROOT / "build/scores/venv"
    program = folder / "bin/ssh-audit"
    if not program.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin/pip"), "install", "--quiet", "--require-hashes", "--requirement"]
        subprocess.run([*pip, str(Path(__file__).with_name("requirements.lock"))], check=True)
    words = [str(program), "--json", "--port", str(host.site.access.login.port), host.address]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE).stdout


def on_host(host: Host, script: str) -> str:
    """What a script writes that root runs on a host."""
    return host.run(script, timeout=PATIENCE, check=True).stdout


def measured(host: Host, others: Iterable[Host], app: str) -> tuple[list[table.Score], list[str]]:
    """All scores of a host, those of others' units, too; and a sentence for each program that could not be asked."""
    tested = tls.SCRIPT.format(authority="/etc/ssl/slipway/ca.pem", address=host.address)
    asked: dict[str, Callable[[], list[table.Score]]] = {
        "systemd": lambda: systemd.scores(
            "".join(on_host(each, systemd.COMMAND) for each in (host, *others)), app
        ),
        "ssh-audit": lambda: ssh.scores(audited(host)),
        "lynis": lambda: lynis.scores(on_host(host, lynis.SCRIPT)),
        "testssl.sh": lambda: tls.scores(on_host(host, tested)),
        "PostgreSQL": lambda: postgresql.scores(hosts.sql(host, postgresql.QUERY)),
    }
    scores: list[table.Score] = []
    silent: list[str] = []
    for name, ask in asked.items():
        try:
            scores += ask()
        except (LabError, OSError, ValueError, LookupError, subprocess.SubprocessError) as problem:
            silent.append(f"{name} could not be asked: {problem}")
    return scores, silent


def main() -> int:
    """Measure, show, compare; write the page where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.scores", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"keep what was measured in {PAGE.name}")
    wish = parser.parse_args()
    with rated() as lab:
        scores, silent = measured(lab.host(SERVES), [lab.host(WATCHES)], "shop")
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    before, _, tail = rest.partition(END)
    waived = table.waivers(WAIVERS)
    rows = table.rendered(scores, waived)
    print(rows)
    wrong = silent + table.complaints(
        scores, table.kept(before), waived, datetime.datetime.now(datetime.UTC).date()
    )
    print("\n".join(wrong) or "No score fell.")
    if wish.write and not silent:
        PAGE.write_text(f"{head}{BEGIN}{rows}{END}{tail}", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
