"""`slipway run`: several commands from standard input in one process, one after another until one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO, Any

from slipway.errors import RefusedError

BYTES = 256 * 1024
COMMANDS = 50
WORDS = 50
# Standard input already carries the batch, and its answer is JSON.
NOT_INSIDE = ("-", "--bundle=-", "-h", "--help", "--version")


def read(stream: IO[bytes]) -> list[list[str]]:
    """The batch: a JSON list of commands, each a list of words as they would be typed, without `slipway`."""
    data = stream.read(BYTES + 1)
    if len(data) > BYTES:
        raise _wrong(f"is larger than {BYTES} bytes")
    try:
        batch = json.loads(data)
    except (ValueError, RecursionError) as failure:
        raise _wrong(f"is not JSON: {failure}") from None
    if not isinstance(batch, list) or not 0 < len(batch) <= COMMANDS:
        raise _wrong(f"is not a list of 1 to {COMMANDS} commands")
    for words in batch:
        if not isinstance(words, list) or not 0 < len(words) <= WORDS:
            raise _wrong(f"holds a command that is not a list of 1 to {WORDS} words")
        if not all(isinstance(word, str) for word in words):
            raise _wrong("holds a word that is not text")
        if asked := {*words[:1]} & {"run", "exec"} | {*words} & {*NOT_INSIDE}:
            raise _wrong(
                f"holds {' '.join(sorted(asked))}, which is for a terminal or reads the batch itself"
            )
    return batch


def perform(
    batch: list[list[str]], one: Callable[[list[str]], tuple[int, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """one: performs a command and gives its exit code and answer. The last answer is the failed one, if any is."""
    answers = []
    for words in batch:
        code, answer = one(words)
        answers.append({**answer, "exit": code})
        if code:
            break
    return answers


def _wrong(what: str) -> RefusedError:
    return RefusedError(
        "batch",
        f"The batch on standard input {what}.",
        'One looks like [["status"], ["start", "20261122T160501Z-3f2a9c1", "--fence", "7"]].',
    )
