"""Render a role's part of templates/ and state it on the host in one round trip.

Every template's first line is a Jinja comment that says who owns the file and with which mode:

    {# owner=root group=root mode=0644 #}          add the word `secret` to keep contents out of diffs

A set that stands already, as host_facts saw at the beginning of the run, is not sent at all.

The path below templates/ is the path on the host. It may hold Jinja itself, as a folder named
`{{ postgresql_version }}` does. A template that renders to nothing but white space is a file this
host does not get. The host's side is plugins/modules/host_files.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import runpy
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

HEADER = re.compile(
    r"\A\{# owner=(?P<owner>\S+) group=(?P<group>\S+) mode=(?P<mode>0[0-7]{3,4})(?P<secret> secret)? #\}\n"
)
ARGUMENTS = frozenset(
    ("name", "trees", "directories", "files", "links", "checks", "watch", "claims", "has_handler", "in_force", "guard")
)  # fmt: skip
# What an inventory says in a template: a role's own private names are not said there.
VARIABLE = re.compile(
    r"\b(?:inventory_hostname|(?:acme|alertmanager|app|apt_sources|backups|base|copies|exporters|grafana|locale|nginx|postgresql|prometheus|redis|rsyslog|ssh|firewall|kernel|sandbox)_[a-z_]+)\b"
)
CONTENTS = ("content", "source", "program")
BUILDER = Path(__file__).parent.parent.parent / "fabfile/programs/zipped.py"
SECOND_LOGIN = Path(__file__).parent.parent / "controller/second_login.py"
STANDING = Path(__file__).parent.parent / "module_utils/slipway_files/standing.py"
LISTS = ("written", "removed", "renewed", "kept", "unchecked", "diff")
UNCHANGED: dict[str, Any] = {"changed": False, **{name: [] for name in LISTS}}
NOT_RENDERED = "(a secret: written on the host alone)\n"


class ActionModule(ActionBase):
    """Arguments: name (which of the service's sets), trees (paths on the host, without the first slash, whose
    templates these are), directories, files (each with `content`, or for bytes `source`, one path or several whose
    bytes follow each other, or `program`: the folder of a Python package that runs as one file), links, checks,
    watch (foreign files whose change counts), claims (what only one service of a host can have, to the variable
    that says it), has_handler, in_force, guard (for what lets people in: `below`, the folders that matter, all if
    empty; `apply` and `undo`, commands; see second_login.py)."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, or what was rendered when `slipway_render_to` names a folder."""
        super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        unknown = set(self._task.args) - ARGUMENTS
        if unknown:
            raise AnsibleActionFail(f"host_files does not know {', '.join(sorted(unknown))}.")
        name = self._task.args.get("name")
        if not name or not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
            raise AnsibleActionFail("host_files needs a name (lower case): whose files these are.")
        payload = {
            "app": str(self._templar.template(trust_as_template("{{ app_name }}"))),
            "name": str(name),
            "files": self._rendered(variables) + [self._literal(entry) for entry in self._entries("files")],
            "directories": [dict(entry) for entry in self._entries("directories")],
            "links": [dict(entry) for entry in self._entries("links")],
            "checks": [dict(entry) for entry in self._entries("checks")],
            "watch": [str(path) for path in self._entries("watch")],
            "claims": {str(what): str(name) for what, name in (self._task.args.get("claims") or {}).items()},
            "has_handler": boolean(self._task.args.get("has_handler", False)),
            "in_force": boolean(self._task.args.get("in_force", False)),
        }
        render_to = variables.get("slipway_render_to")
        if render_to:
            # A program is built, not rendered: a tree to read through has no use for it.
            programs = {entry["path"] for entry in self._entries("files") if "program" in entry}
            payload["files"] = [entry for entry in payload["files"] if entry["path"] not in programs]
            return self._write_tree(Path(str(self._templar.template(render_to))), payload)
        if not payload["in_force"] and self._stands(payload, variables):
            return dict(UNCHANGED)
        guard, ask = self._task.args.get("guard"), partial(self._ask, task_vars)
        result = (
            runpy.run_path(str(SECOND_LOGIN))["stated"](self, payload, guard, ask) if guard else ask(payload)
        )
        if result.get("changed"):
            # What was seen at the beginning is not what stands now.
            result["ansible_facts"] = {"standing": {}}
        return result

    def _ask(self, task_vars: dict[str, Any] | None, payload: dict[str, Any]) -> dict[str, Any]:
        packed = base64.b64encode(zlib.compress(json.dumps(payload, default=str).encode())).decode()
        return dict(self._execute_module("host_files", {"payload": packed}, task_vars=task_vars))

    @staticmethod
    def _stands(payload: dict[str, Any], variables: dict[str, Any]) -> bool:
        seen = variables.get("ansible_facts", {}).get("standing", {}).get(payload["name"])
        return bool(seen) and runpy.run_path(str(STANDING))["digest_of_wanted"](payload) == seen

    def _entries(self, argument: str) -> list[dict[str, Any]]:
        entries = self._task.args.get(argument) or []
        if not isinstance(entries, list):
            raise AnsibleActionFail(f"host_files: {argument} is a list, not {entries}.")
        return entries

    def _rendered(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        root = self._templates_root(variables)
        templates = [source for source in sorted(root.rglob("*.j2")) if not source.name.startswith("_")]
        found: dict[Path, str] = {}
        for tree in map(str, self._task.args.get("trees") or []):
            below = self._below(tree, root, templates, variables)
            if not below:
                raise AnsibleActionFail(f"host_files: there is no template below templates/{tree}.")
            found |= below
        rendered = (self._render(root, source, path, variables) for source, path in found.items())
        return [entry for entry in rendered if entry is not None]

    def _below(
        self, tree: str, root: Path, templates: list[Path], variables: dict[str, Any]
    ) -> dict[Path, str]:
        """The templates of a tree, each with its path on the host without the first slash."""
        templar = self._templar.copy_with_new_env(available_variables=variables)
        found = {}
        for source in templates:
            path = str(source.relative_to(root))[: -len(".j2")]
            plain, braces, _ = path.partition("{{")
            # What a name is made of may not be known where its tree is not meant.
            if braces and (plain.startswith(f"{tree}/") or tree.startswith(plain)):
                path = str(templar.template(trust_as_template(path)))
            if path == tree or path.startswith(f"{tree}/"):
                found[source] = path
        return found

    @staticmethod
    def _templates_root(variables: dict[str, Any]) -> Path:
        start = Path(__file__).resolve().parent.parent.parent / "templates"
        override = variables.get("slipway_templates_root")
        return Path(str(override)) if override else start

    def _render(
        self, root: Path, source: Path, path: str, variables: dict[str, Any]
    ) -> dict[str, Any] | None:
        relative = source.relative_to(root)
        text = source.read_text(encoding="utf-8")
        header = HEADER.match(text)
        if header is None:
            raise AnsibleActionFail(
                f"templates/{relative} does not begin with its header line. "
                "Give it one: {# owner=root group=root mode=0644 #}"
            )
        managed = (
            f"Written by Slipway (role {self._task.args['name']}) from templates/{relative}.\n"
            "A change made here is undone by the next run; change the inventory or the template."
        )
        templar = self._templar.copy_with_new_env(
            searchpath=[str(source.parent), str(root)],
            available_variables={**variables, "slipway_managed": managed},
        )
        overrides = {"trim_blocks": True, "lstrip_blocks": True}
        body = templar.template(
            trust_as_template(text[header.end() :]), escape_backslashes=False, overrides=overrides
        )
        content = "" if body is None else str(body)
        if not content.strip():
            return None
        group = str(templar.template(trust_as_template(header["group"])))
        written = self._file(
            "/" + path, content.encode(), header["owner"], group, header["mode"], bool(header["secret"])
        )
        made_of = hashlib.sha256(text.encode()).hexdigest()
        return {**written, "made_of": made_of, "variables": sorted(set(VARIABLE.findall(text)))}

    def _literal(self, entry: dict[str, Any]) -> dict[str, Any]:
        missing = {"path", "owner", "group", "mode"} - set(entry)
        given = [kind for kind in CONTENTS if kind in entry]
        if missing or len(given) != 1:
            raise AnsibleActionFail(
                f"host_files: a file needs path, owner, group, mode, and one of {', '.join(CONTENTS)}: {sorted(entry)}."
            )
        content = self._content(given[0], entry[given[0]])
        written = self._file(
            str(entry["path"]), content, entry["owner"], entry["group"], entry["mode"],
            bool(entry.get("secret", False)),
        )  # fmt: skip
        # Slipway's own bytes differ between its versions, not between inventories.
        return {**written, "made_of": "" if given[0] == "content" else hashlib.sha256(content).hexdigest()}

    def _content(self, kind: str, value: Any) -> bytes:
        if kind == "program":
            return _program(Path(str(value)))
        if kind == "content":
            return str(value).encode()
        return b"".join(self._source(str(path)) for path in (value if isinstance(value, list) else [value]))

    def _source(self, path: str) -> bytes:
        """The bytes of a controller's file; a vault-encrypted one is decrypted, and no copy of it stays behind."""
        readable = self._loader.get_real_file(path)
        try:
            return Path(readable).read_bytes()
        finally:
            self._loader.cleanup_tmp_file(readable)

    @staticmethod
    def _file(path: str, content: bytes, owner: Any, group: Any, mode: Any, secret: bool) -> dict[str, Any]:
        if not path.startswith("/") or os.path.normpath(path) != path:
            raise AnsibleActionFail(f"host_files: {path} is not an absolute, plain path.")
        return {
            "path": path,
            "content": base64.b64encode(content).decode(),
            "owner": str(owner),
            "group": str(group),
            "mode": str(mode),
            "secret": secret,
        }

    def _write_tree(self, folder: Path, payload: dict[str, Any]) -> dict[str, Any]:
        """Write the set below `folder` on the controller; secrets are named, never written."""
        written = []
        for entry in payload["files"]:
            target = folder / entry["path"].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            content = base64.b64decode(entry["content"])
            target.write_bytes(NOT_RENDERED.encode() if entry["secret"] else content)
            target.chmod(int(entry["mode"], 8))
            written.append(entry["path"])
        return {"changed": False, "rendered": written, "folder": str(folder)}


def _program(package: Path) -> bytes:
    """The package as one file. Its builder is run by path: to import it by name is to import all of fabfile."""
    try:
        built: bytes = runpy.run_path(str(BUILDER))["build_helper"](package)
    except (OSError, SyntaxError) as problem:
        raise AnsibleActionFail(f"host_files: no program can be built of {package}: {problem}") from problem
    return built
