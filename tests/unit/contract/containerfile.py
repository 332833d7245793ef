"""What a Containerfile of ours may say: read line by line, judged by rules of our own, each with its sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

# Images of this machine's own, with a tag that is not "what is newest", or any by its digest.
BASE = re.compile(r"localhost/[a-z0-9._/-]+:(?!latest$)[A-Za-z0-9_][A-Za-z0-9._-]*|\S+@sha256:[0-9a-f]{64}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|PRIVATE|_KEY\b", re.IGNORECASE)
FETCHING = re.compile(r"\b(curl|wget|git\s+clone|pip3?\s+install|sudo)\b")
EXEC_FORM = ("ENTRYPOINT", "CMD", "SHELL")
CONSTANT = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Instruction:
    """word: in capitals. text: what follows it, on one line."""

    word: str
    text: str


def instructions(text: str) -> list[Instruction]:
    """Comments are left out, and what a backslash continues is one."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    words = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(word.upper(), rest.strip()) for word, _, rest in words]


def complaints(text: str) -> list[str]:
    """A sentence for each rule that does not hold; empty for one that may be built."""
    said = instructions(text)
    return [*_bases(said), *_steps(said), *_last_stage(said)]


def _bases(said: list[Instruction]) -> Iterator[str]:
    defaults = dict(
        part.split("=", 1)
        for each in said
        if each.word == "ARG"
        for part in shlex.split(each.text)
        if "=" in part
    )
    stages: set[str] = {"scratch"}
    for each in said:
        if each.word != "FROM":
            continue
        name, *alias = re.split(r"\s+[Aa][Ss]\s+", each.text)
        base = CONSTANT.sub(lambda found: defaults.get(found[1], ""), name)
        if base not in stages and not BASE.fullmatch(base):
            yield f"FROM {each.text}: {base or 'nothing'} is neither local nor named by a digest"
        stages.update(alias)


def _steps(said: list[Instruction]) -> Iterator[str]:
    for each in said:
        if each.word == "ADD":
            yield f"ADD {each.text}: it fetches and unpacks; COPY does not"
        if each.word == "COPY" and re.search(r"(^|\s)\.\s+\S+$", each.text):
            yield f"COPY {each.text}: all of the context, whatever is in it"
        if each.word in ("ENV", "ARG", "LABEL") and SECRET.search(each.text):
            yield f"{each.word} {each.text}: a secret in it would be in the image for good"
        if each.word == "RUN" and FETCHING.search(each.text):
            yield f"RUN {each.text}: it fetches, or is somebody else"
        if each.word in EXEC_FORM and not each.text.startswith("["):
            yield f"{each.word} {each.text}: a shell would stand between the signal and the server"
        if each.word == "HEALTHCHECK" and not re.search(r"\bCMD\s+\[", each.text):
            yield f"HEALTHCHECK {each.text}: a shell would stand in between"
        if each.word == "EXPOSE" and any(int(port) < 1024 for port in re.findall(r"\d+", each.text)):
            yield f"EXPOSE {each.text}: a port below 1024 is root's"


def _last_stage(said: list[Instruction]) -> Iterator[str]:
    last = max((place for place, each in enumerate(said) if each.word == "FROM"), default=0)
    users = [each.text for each in said[last:] if each.word == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        yield f"USER {users[-1] if users else 'is missing'}: whoever runs it cannot see that it is not root"
    if not any(each.word in ("ENTRYPOINT", "CMD") for each in said[last:]):
        yield "ENTRYPOINT is missing: it says nothing of what runs"
