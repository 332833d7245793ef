"""What stands on the host against what is wanted: a pure list of changes, and its diff."""

from __future__ import annotations

import base64
import dataclasses
import grp
import hashlib
import os
import pwd
import stat
from typing import Any

from ansible.module_utils.slipway_files.errors import HostFilesError

HIDDEN = "(content not shown: it is a secret)\n"


@dataclasses.dataclass(frozen=True)
class Change:
    """One path to state. `kind` is file, directory or link; `content` is bytes for a file, the target for a link."""

    kind: str
    path: str
    content: bytes
    owner: int
    group: int
    mode: int
    before: str
    after: str
    content_differs: bool


@dataclasses.dataclass
class Difference:
    """Everything that is to change, in the order in which it has to happen."""

    changes: list[Change]
    removed: list[str]
    removed_before: dict[str, str]

    @property
    def changed(self) -> bool:
        return bool(self.changes or self.removed)

    def as_diff(self) -> list[dict[str, str]]:
        """The shape `ansible-playbook --diff` prints."""
        rows = [
            {
                "before_header": change.path,
                "after_header": change.path,
                "before": change.before,
                "after": change.after,
            }
            for change in self.changes
        ]
        rows += [
            {
                "before_header": path,
                "after_header": path + " (removed)",
                "before": self.removed_before[path],
                "after": "",
            }
            for path in self.removed
        ]
        return rows


def difference(wanted: dict[str, Any], known: dict[str, str], check_mode: bool) -> Difference:
    """Compare the wanted set with the host. Unknown owners are an error, but not yet one in check mode."""
    try:
        return _difference(wanted, known, check_mode)
    except OSError as error:
        raise HostFilesError(
            f"{error.filename} could not be read: {error.strerror}. Nothing was changed. Run again; if it fails again, "
            "somebody changes the folders on the way to it meanwhile, or the disk is at fault."
        ) from error


def _difference(wanted: dict[str, Any], known: dict[str, str], check_mode: bool) -> Difference:
    changes: list[Change] = []
    for entry in wanted["directories"]:
        changes += _attributes("directory", entry, b"", False, check_mode)
    for entry in wanted["files"]:
        content = base64.b64decode(entry["content"])
        changes += _attributes("file", entry, content, bool(entry["secret"]), check_mode)
    for entry in wanted["links"]:
        changes += _link(entry)
    wanted_paths = {entry["path"] for entry in wanted["files"]}
    removed = [path for path in sorted(known) if path not in wanted_paths and _is_file(path)]
    return Difference(changes, removed, {path: _shown(path, _is_private(path)) for path in removed})


def _is_file(path: str) -> bool:
    return os.path.islink(path) or os.path.isfile(path)


def _is_private(path: str) -> bool:
    """Whether others may not read it: a template that is gone cannot say any more that its file was a secret."""
    return not os.lstat(path).st_mode & stat.S_IROTH


def _identity(kind: str, name: str, path: str, check_mode: bool) -> int:
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        if check_mode:
            return -1
        raise HostFilesError(
            f"{path} is to belong to the {kind} {name}, which this host does not have."
        ) from None


def _attributes(
    kind: str, entry: dict[str, Any], content: bytes, secret: bool, check_mode: bool
) -> list[Change]:
    path, mode = entry["path"], int(entry["mode"], 8)
    owner = _identity("user", entry["owner"], path, check_mode)
    group = _identity("group", entry["group"], path, check_mode)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        found = None
    except NotADirectoryError:
        raise HostFilesError(
            f"{path} cannot exist: one of its parents is a file. Nothing was changed."
        ) from None
    if found is not None and kind == "directory" and not stat.S_ISDIR(found.st_mode):
        raise HostFilesError(
            f"{path} is to be a directory but is something else. Nothing was changed; move it away."
        )
    if found is not None and kind == "file" and stat.S_ISDIR(found.st_mode):
        raise HostFilesError(f"{path} is to be a file but is a directory. Nothing was changed; move it away.")
    same_content = found is not None and (kind == "directory" or _read(path, found) == content)
    same_attributes = found is not None and (
        (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, group, mode)
    )
    if same_content and same_attributes:
        return []
    before = "" if found is None else _described(path, found, secret, not same_content)
    after_attributes = f"{entry['owner']}:{entry['group']} {mode:04o}\n"
    after = after_attributes + ("" if same_content else _text(content, secret))
    return [Change(kind, path, content, owner, group, mode, before, after, not same_content)]


def _link(entry: dict[str, Any]) -> list[Change]:
    path, target = entry["path"], entry["target"]
    if os.path.isdir(path) and not os.path.islink(path):
        raise HostFilesError(f"{path} is to be a link but is a directory. Nothing was changed; move it away.")
    if os.path.lexists(path) and not os.path.islink(path):
        before = "(a file)\n"
    else:
        before = f"-> {os.readlink(path)}\n" if os.path.islink(path) else ""
    after = f"-> {target}\n"
    if before == after:
        return []
    return [Change("link", path, target.encode(), 0, 0, 0o777, before, after, True)]


def _read(path: str, found: os.stat_result) -> bytes | None:
    if not stat.S_ISREG(found.st_mode):
        return None
    with open(path, "rb") as stream:
        return stream.read()


def _described(path: str, found: os.stat_result, secret: bool, with_content: bool) -> str:
    attributes = f"{_user(found.st_uid)}:{_group(found.st_gid)} {stat.S_IMODE(found.st_mode):04o}\n"
    return attributes + (_shown(path, secret) if with_content else "")


def _shown(path: str, secret: bool) -> str:
    if os.path.islink(path):
        return f"-> {os.readlink(path)}\n"
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as stream:
        return _text(stream.read(), secret)


def _text(content: bytes, secret: bool) -> str:
    if secret:
        return HIDDEN
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return f"(no text: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()})\n"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
