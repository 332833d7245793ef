"""Every argument of every command of slipway with hostile values: refused or done, and nothing else touched or run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from slipway.cli import main
from slipway.command_line.arguments import Parser, parser
from slipway.journal import chain

from tests.unit.slipway import support
from tests.unit.slipway.support import RELEASE, Host

# What makes each command one that would be performed; the hostile value then takes one place.
GOOD = {
    "release": RELEASE,
    "bundle": "-",
    "sha256": "0" * 64,
    "state": "off",
    "holder": "ada",
    "process": "11@laptop",
    "typed": "fab deploy",
    "fence": "7",
    "seconds": "0.1",
    "kind": "deploy.begin",
    "name": "prices",
    "reason": "leaks",
}
HOSTILE = (
    "", " ", "-", "--", "--json", "../../etc/cron.d/evil", "/etc/shadow", "@/etc/shadow", "$(touch HERE/evil)",
    "`touch HERE/evil`", "x; touch HERE/evil", "x\ntouch HERE/evil", "\x1b[2J", "%s%n", "*", "x" * 100_000, "nan",
    "1e999", "-1", "0x10", "9" * 30, "\u0661", "\udcff", "null", "{}", "[" * 50_000,
    f"{RELEASE}/../../../etc", f"{RELEASE}\n", RELEASE.upper(), "none",
)  # fmt: skip


def commands(
    found: Parser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command, by the words that name it, and what parses its arguments."""
    below = [action for action in found._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, found
    for action in below:
        for name, inner in action.choices.items():
            yield from commands(inner, (*words, name))


COMMANDS = {" ".join(words): (words, found) for words, found in commands(parser()) if words != ("run",)}


def lines(words: tuple[str, ...], found: argparse.ArgumentParser, here: Path) -> Iterator[list[str]]:
    """The command with each of its arguments hostile in turn, and those it needs as they should be."""
    taking = [action for action in found._actions if action.nargs != 0 and action.dest != "help"]
    for tried in taking:
        for value in HOSTILE:
            line = list(words)
            for action in taking:
                given = (
                    value.replace("HERE", str(here)) if action is tried else str(GOOD.get(action.dest, "1"))
                )
                if action.option_strings and (action is tried or action.required):
                    line.append(f"{action.option_strings[-1]}={given}")
                elif not action.option_strings:
                    line.append(given)
            yield line


def test_the_parser_is_walked_to_its_ends() -> None:
    assert {"stage", "switch", "lease acquire", "record", "journal", "drain"} <= COMMANDS.keys()
    assert len(COMMANDS) >= 25


@pytest.mark.parametrize("command", COMMANDS)
def test_no_argument_makes_slipway_do_what_it_does_not_say(host: Host, command: str) -> None:
    words, found = COMMANDS[command]
    support.install_release(host, RELEASE)
    owned = ("var/lib/slipway", "srv/shop", "run")
    for path in ("etc/cron.d/root", "etc/shadow", "root/.bashrc", "usr/local/sbin/program"):
        (host.root / path).parent.mkdir(parents=True, exist_ok=True)
        (host.root / path).write_text("root's own")

    def roots() -> dict[str, str]:
        seen = support.snapshot(host.root.parent)
        mine = (f"{host.root.name}/{folder}" for folder in owned)
        seen = {path: what for path, what in seen.items() if not path.startswith("fake/")}
        for folder in mine:
            seen = {path: what for path, what in seen.items() if not path.startswith(folder)}
        return {path: what for path, what in seen.items() if "systemd" not in path}

    before = roots()
    with support.quick_systemd(), support.standard_input(Path("/dev/null")):
        for line in lines(words, found, host.root):
            with redirect_stdout(StringIO()) as said:
                code = main([*line, "--json"], host)
            shown = [word[:60] for word in line]
            assert code != 1, (shown, said.getvalue()[:500])
            assert code in ((125,) if command == "exec" else (0, 2, 3, 4, 6, 7)), (shown, code)
            # Behind -- it is a word of the command's.
            if command != "exec" or said.getvalue():
                assert json.loads(said.getvalue())["schema"] == 1, shown
    assert roots() == before
    assert chain.verify(host.journal, host.journal.with_suffix(".head")).altered is None
    assert {path.name for path in host.releases.iterdir()} == {RELEASE}
