"""What holds for every test, wherever it runs."""

import re
import signal
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest

SLOW = Path(__file__).with_name("slow.txt")

# A shell that starts something in the background has it ignore Ctrl-C, and so all that it starts; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Before pytest chooses by marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out."""
    is_slow = slow_ones()
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker(pytest.mark.slow)


def slow_ones() -> Callable[[str], bool]:
    """Whether a test is one of slow.txt, by its id; the last of the patterns that fit it decides."""
    lines = SLOW.read_text(encoding="utf-8").splitlines()
    rules = [(pattern_of(line), line[0] != "!") for line in lines if line and line[0] != "#"]
    return lambda name: reduce(lambda now, rule: rule[1] if rule[0].fullmatch(name) else now, rules, False)


def pattern_of(line: str) -> re.Pattern[str]:
    """The ids that a line of slow.txt is about: * stands for anything."""
    return re.compile(".*".join(map(re.escape, line.removeprefix("!").split("*"))))
