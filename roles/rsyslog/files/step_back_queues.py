#!/usr/bin/python3
# Written by Slipway (role rsyslog). A change made here is undone by the next run.
"""Before rsyslogd starts: have it send again what was on its way to the collector when it ended.

Usage: step-back-queues FOLDER, as root; FOLDER is rsyslogd's spool. A line leaves a queue on disk when the connection
took it, and up to WINDOW of them are there without an answer. Where a queue is left, its reader is set back by as
many lines: who had them gets them twice. Prints a sentence for each queue; what is none of rsyslogd's is left as it is.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

# librelp's: so many lines may be unanswered.
WINDOW = 128
# Ours are named so.
QUEUES = "*_forward.qi"
STREAM = b"<Obj:1:strm:1:\n"
RECORD, END = b"<Obj:1:msg:1:\n", b">End\n.\n"
PROPERTY = re.compile(rb"\+[^:\n]+:\d+:(\d+):")


class UnreadableError(Exception):
    """Why a queue is left as it is."""


def number(text: bytes, name: bytes) -> int:
    found = re.search(rb"^\+" + re.escape(name) + rb":2:\d+:(\d+):$", text, re.MULTILINE)
    if not found:
        raise UnreadableError(f"its index has no {name.decode()}")
    return int(found[1])


def replaced(text: bytes, name: bytes, value: int) -> bytes:
    said = str(value).encode()
    line = b"+%b:2:%d:%b:" % (name, len(said), said)
    return re.sub(rb"^\+" + re.escape(name) + rb":2:\d+:\d+:$", lambda _: line, text, flags=re.MULTILINE)


def records(segment: bytes, until: int) -> list[int]:
    """Where each record begins that stands ahead of until, and until itself. A value says how long it is."""
    begins, at = [0], 0
    while at < until:
        if not segment.startswith(RECORD, at):
            raise UnreadableError(f"no line begins at {at} of its file")
        at += len(RECORD)
        while not segment.startswith(END, at):
            found = PROPERTY.match(segment, at)
            if not found:
                raise UnreadableError(f"there is no value at {at} of its file")
            at = found.end() + int(found[1]) + len(b":\n")
        at += len(END)
        begins.append(at)
    if at != until:
        raise UnreadableError(f"no line ends at {until} of its file")
    return begins


def step_back(index: Path) -> str:
    """Set the reader of one queue back, and say by how many lines."""
    head, *streams = index.read_bytes().split(STREAM)
    if len(streams) != 2:
        raise UnreadableError("its index is not one of rsyslogd's")
    written, read = streams
    file, offset = number(read, b"iCurrFNum"), number(read, b"iCurrOffs")
    begins = records(index.with_suffix(f".{file:08}").read_bytes(), offset)
    # What stood ahead of this before rsyslogd was last started has not been sent since.
    mark = index.with_suffix(".stepped")
    last_file, last = json.loads(mark.read_bytes()) if mark.exists() else (0, 0)
    first = begins.index(last) if last_file == file and last in begins else 0
    to = max(first, len(begins) - 1 - WINDOW)
    lines = len(begins) - 1 - to
    read = replaced(replaced(read, b"iCurrOffs", begins[to]), b"strtOffs", begins[to])
    head = replaced(head, b"iQueueSize", number(head, b"iQueueSize") + lines)
    kept(mark, json.dumps([file, begins[to]]).encode(), index)
    kept(index, STREAM.join((head, written, read)), index)
    missed = WINDOW - lines if to == 0 and file > max(1, last_file) else 0
    return f"{lines} lines are sent again" + (
        f"; up to {missed} that were on their way stood in a file that is gone" if missed else ""
    )


def kept(path: Path, content: bytes, like: Path) -> None:
    """Whole or not at all, and its owner's."""
    owner = like.stat()
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.fchmod(file.fileno(), owner.st_mode & 0o777)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def main(words: list[str]) -> int:
    if len(words) != 1:
        print("Usage: step-back-queues FOLDER", file=sys.stderr)
        return 2
    folder = Path(words[0])
    for mark in folder.glob("*.stepped"):
        if not mark.with_suffix(".qi").exists():
            mark.unlink()
    for index in sorted(folder.glob(QUEUES)):
        try:
            print(f"{index.stem}: {step_back(index)}.")
        except (UnreadableError, OSError, ValueError) as problem:
            print(f"{index.stem}: {problem}. It is left as it is; lines that were on their way are lost.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
