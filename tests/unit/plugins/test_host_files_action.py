"""What a role writes in host_files becomes files on a host, or a sentence: run by Ansible itself."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import Outcome, play

HEADER = "{# owner=root group=root mode=0640 #}\n"


class Rendering:
    """A folder of templates, and the tree that Ansible renders from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.templates = folder / "templates"
        self.rendered = folder / "rendered"

    def template(self, name: str, text: str) -> None:
        path = self.templates / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def render(self, arguments: dict[str, Any], **variables: Any) -> Outcome:
        task = {"name": "State", "host_files": {"name": "web", **arguments}}
        where = {"slipway_templates_root": str(self.templates), "slipway_render_to": str(self.rendered)}
        return play(self.folder, [task], **where, **variables)

    def tree(self) -> dict[str, str]:
        files = [path for path in sorted(self.rendered.rglob("*")) if path.is_file()]
        return {"/" + str(path.relative_to(self.rendered)): path.read_text() for path in files}


@pytest.fixture
def rendering(tmp_path: Path) -> Rendering:
    return Rendering(tmp_path)


def test_templates_become_files_at_their_own_paths(rendering: Rendering) -> None:
    rendering.template("etc/web/site.conf.j2", HEADER + "{{ slipway_managed | comment }}\nport {{ port }}\n")
    rendering.template("etc/web/{{ version }}/{{ cluster }}/main.conf.j2", HEADER + "v{{ version }}\n")
    rendering.template("etc/web/empty.conf.j2", HEADER + "{% if false %}\nnever\n{% endif %}\n  \n")
    rendering.template("etc/web/_part.j2", "{# A part of others. #}\nshared {{ port }}\n")
    rendering.template("etc/web/whole.conf.j2", HEADER + "{% include '_part.j2' %}\n")
    rendering.template("etc/web/password.j2", "{# owner=root group=root mode=0600 secret #}\n{{ port }}\n")
    rendering.template("etc/other/foreign.conf.j2", HEADER + "not asked for\n")

    rendering.render({"trees": ["etc/web"]}, port=81, version="14", cluster="main").ok("State")

    tree = rendering.tree()
    assert list(tree) == [
        "/etc/web/14/main/main.conf",
        "/etc/web/password",
        "/etc/web/site.conf",
        "/etc/web/whole.conf",
    ]
    assert tree["/etc/web/14/main/main.conf"] == "v14\n"
    assert tree["/etc/web/whole.conf"] == "shared 81\n"
    assert tree["/etc/web/password"] == "(a secret: written on the host alone)\n"
    assert tree["/etc/web/site.conf"] == textwrap.dedent(
        """\
        #
        # Written by Slipway (role web) from templates/etc/web/site.conf.j2.
        # A change made here is undone by the next run; change the inventory or the template.
        #
        port 81
        """
    )
    assert (rendering.rendered / "etc/web/site.conf").stat().st_mode & 0o7777 == 0o640


def test_a_single_template_and_literal_files_go_the_same_way(rendering: Rendering) -> None:
    rendering.template("etc/hosts.j2", HEADER + "127.0.0.1 {{ inventory_hostname }}\n")
    (rendering.folder / "program").write_bytes(b"#!/bin/sh\necho hello\n")
    owner = {"owner": "root", "group": "root"}
    literal = {"path": "/usr/local/bin/program", "source": str(rendering.folder / "program"), **owner}
    note = {"path": "/etc/note", "content": "noted\n", "mode": "0644", **owner}
    both = {"path": "/etc/both", "source": [literal["source"], literal["source"]], "mode": "0644", **owner}

    rendering.render({"trees": ["etc/hosts"], "files": [{**literal, "mode": "0755"}, note, both]}).ok("State")

    assert rendering.tree() == {
        "/etc/both": "#!/bin/sh\necho hello\n" * 2,
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/note": "noted\n",
        "/usr/local/bin/program": "#!/bin/sh\necho hello\n",
    }


def test_the_set_arrives_on_the_host_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "host/etc"
    template = tmp_path / "templates" / str(target).lstrip("/") / "site.conf.j2"
    template.parent.mkdir(parents=True)
    template.write_text(HEADER + "port {{ port }}\n", encoding="utf-8")
    literal = {"path": f"{target}/host.key", "content": "the key itself\n", "owner": "root", "group": "root"}
    # Its own name, because what a set has written is remembered on this machine under it.
    name = f"test_{tmp_path.name.replace('-', '_').lower()}"
    package = tmp_path / "greeting"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text("def main() -> int:\n    return print('hello') or 0\n")
    program = {"path": f"{target}/greet", "program": str(package), "owner": "root", "group": "root"}
    arguments = {
        "name": name,
        "trees": [str(target).lstrip("/")],
        "files": [{**literal, "mode": "0600", "secret": True}, {**program, "mode": "0755"}],
    }
    states = [{"name": f"State {turn}", "host_files": arguments} for turn in (1, 2)]
    runs = {"name": "Run the program", "ansible.builtin.command": {"argv": [f"{target}/greet"]}}
    nothing = {"name": "Want nothing any more", "host_files": {"name": name}}

    outcome = play(
        tmp_path,
        [*states, runs, nothing],
        "--diff",
        slipway_templates_root=str(tmp_path / "templates"),
        port=82,
    )

    memory = Path(f"/var/lib/slipway/files/shop/{name}.json")
    memory.unlink()
    for folder in (memory.parent, memory.parent.parent):
        if not list(folder.iterdir()):
            folder.rmdir()
    assert outcome.ok("State 1")["written"] == [
        f"{target}/site.conf",
        f"{target}/host.key",
        f"{target}/greet",
    ]
    assert outcome.ok("Run the program")["stdout"] == "hello"
    assert not outcome.ok("State 2")["changed"]
    assert outcome.ok("Want nothing any more")["removed"] == [
        f"{target}/greet",
        f"{target}/host.key",
        f"{target}/site.conf",
    ]
    assert "port 82" in outcome.printed
    assert "the key itself" not in outcome.printed
    assert list(target.iterdir()) == []


OWNED = {"owner": "root", "group": "root", "mode": "0644"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown argument": ({"template": "etc"}, "host_files does not know template."),
    "no proper name": (
        {"name": "Not A Name"},
        "host_files needs a name (lower case): whose files these are.",
    ),
    "an absent tree": ({"trees": ["etc/no"]}, "host_files: there is no template below templates/etc/no."),
    "no list": ({"links": "one"}, "host_files: links is a list, not one."),
    "no header": (
        {"trees": ["etc/headless"]},
        "templates/etc/headless.j2 does not begin with its header line. "
        "Give it one: {# owner=root group=root mode=0644 #}",
    ),
    "a relative path": (
        {"files": [{"path": "etc/x", "content": "x", **OWNED}]},
        "host_files: etc/x is not an absolute, plain path.",
    ),
    "a path that leaves its folder": (
        {"files": [{"path": "/a/../b", "content": "x", **OWNED}]},
        "host_files: /a/../b is not an absolute, plain path.",
    ),
    "a file without content": (
        {"files": [{"path": "/etc/x", **OWNED}]},
        "host_files: a file needs path, owner, group, mode, and one of content, source, program: "
        "['group', 'mode', 'owner', 'path'].",
    ),
    "a program of no package": (
        {"files": [{"path": "/etc/x", "program": "/nowhere", **OWNED}]},
        "host_files: no program can be built of /nowhere: /nowhere is not a program's package: it has no cli.py",
    ),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run in which each wrong set is the task of a host of its own."""
    folder = tmp_path_factory.mktemp("wrong")
    headless = folder / "templates/etc/headless.j2"
    headless.parent.mkdir(parents=True)
    headless.write_text("no header\n")
    hosts = [name.replace(" ", "-") for name in WRONG]
    tasks: list[dict[str, Any]] = [
        {
            "name": name,
            "host_files": {"name": "web", **arguments},
            "when": f"inventory_hostname == '{host}'",
        }
        for host, (name, (arguments, _)) in zip(hosts, WRONG.items(), strict=True)
    ]
    variables = {
        "slipway_templates_root": str(folder / "templates"),
        "slipway_render_to": str(folder / "out"),
    }
    outcome = play(folder, tasks, hosts=",".join(hosts), **variables)
    assert not (folder / "out").exists()
    return outcome


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_role_got_wrong_is_a_sentence(refusals: Outcome, wrong: str) -> None:
    assert WRONG[wrong][1] in refusals.sentence(wrong)
