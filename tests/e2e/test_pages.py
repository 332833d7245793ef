"""What README and the pages of docs/ show is typed, in their order, in a shell that has nothing but a fresh login's."""

import os
import re
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.e2e.ansible_runs import ROOT
from tests.e2e.conftest import AS_IS, serving
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

SHOWN = re.compile(r"^\$ (.+?)(?:\s+#.*)?$", re.MULTILINE)
# `make proof` runs this. Other commands of README are typed where what they are about is tested.
README = re.compile(r"make up$|source |curl (?!.* containers/)|fab (?!image-)")
# Of the other pages, what any host answers: without an id, a process, an end that somebody has to bring about, or
# a second release to go back to.
PAGES = ("docs/on-call.md", "docs/releases.md")
ASKS = re.compile(
    r"fab (?:(?:status|db-status|db-activity|db-backup|db-restore --test)|deploy .*--plan)"
    r"(?: --(?:env|plan)(?: (?:lab|production))?)*$"
)
ENDED = re.compile(r"^ENDED (\d+)\n", re.MULTILINE)
# What README says that somebody sees, by the command.
SEES = {
    "make up": ("url: https://", "ca: /", "next: source .venv/bin/activate", "failed=0"),
    "curl": ('"items":[',),
    "fab deploy": ("is live on every app host", "lost=0"),
    "fab rollback": ("is live on every app host", "lost=0"),
    "fab db-status": ("is a primary of PostgreSQL 14.",),
    "fab doctor": ("37 items: ", " met, ", " not met."),
}


def commands() -> list[str]:
    """What is typed, in order; one that a page shows twice on end is typed once."""
    readme = [line for line in shown("README.md") if README.match(line)]
    asked = [line for page in PAGES for line in shown(page) if ASKS.match(line)]
    assert len(asked) > 5
    return [line for line, _ in groupby([*readme, *dict.fromkeys(asked)])]


def shown(page: str) -> list[str]:
    """The commands of a page, without their comments."""
    return SHOWN.findall((ROOT / page).read_text(encoding="utf-8"))


def here(command: str, lab: Lab) -> str:
    """A command of a page with the names of this checkout, this lab and its host."""
    name = lab.site.inventory.name
    for on_page, ours in (
        ("/root/slipway", str(ROOT)),
        ("generated/lab/", f"generated/{name}/"),
        ("10.83.7.11", lab.address("edge")),
        ("--env production", f"--env {name}"),
        ("--env lab", f"--env {name}"),
    ):
        command = command.replace(on_page, ours)
    return f"{command} --env {name}" if command.startswith("fab ") and "--env" not in command else command


@pytest.fixture
def host_again(configured: Host, site: Site) -> Iterator[None]:
    """The serving host, put back afterwards: the pages make releases and backups."""
    yield
    if not AS_IS:
        configured.restore("serving")
        serving(configured, site)


@pytest.mark.usefixtures("host_again")
def test_what_the_pages_show_works_as_it_is_typed_in_a_fresh_shell(lab: Lab) -> None:
    typed = commands()
    script = "".join(f"{here(command, lab)}\nprintf '\\nENDED %s\\n' $?\n" for command in typed)
    login = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(Path.home()),
        "USER": os.environ.get("USER", "root"),
        "TERM": "dumb",
        "INVENTORY": f"inventory/{lab.site.inventory.name}",
    }
    done = subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-c", script],
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env=login,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    *said, _ = ENDED.split(done.stdout)
    assert len(said) == 2 * len(typed), done.stdout[-4000:]
    for command, answer, status in zip(typed, said[::2], said[1::2], strict=True):
        # A warning is an answer, too: about the database, or that not all of the list is met.
        warns = command.startswith(("fab db-status", "fab doctor"))
        assert int(status) <= warns, f"$ {command}\n{answer}"
        for begins, sentences in SEES.items():
            missing = [words for words in sentences if command.startswith(begins) and words not in answer]
            assert not missing or "--plan" in command, f"$ {command} does not say {missing}\n{answer}"
    again = said[2 * (len(typed) - typed[::-1].index("make up") - 1)]
    assert "Nothing to do: every host runs." in again
    assert "changed=0" in again
