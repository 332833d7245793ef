"""Writes every path below some folders with its kind, mode, owner, and checksum or target, as JSON."""

import grp
import hashlib
import json
import os
import pwd
import stat
import sys
from collections.abc import Callable
from typing import Any


def name_of(number: int, look_up: Callable[[int], Any]) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def described(path: str) -> str:
    found = os.lstat(path)
    owner = f"{name_of(found.st_uid, pwd.getpwuid)}:{name_of(found.st_gid, grp.getgrgid)}"
    words = [stat.filemode(found.st_mode), owner]
    if stat.S_ISLNK(found.st_mode):
        words.append(os.readlink(path))
    elif stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:
            words.append(hashlib.sha256(file.read()).hexdigest())
    return " ".join(words)


listing = {}
for folder in json.loads(sys.argv[1])["folders"]:
    if os.path.lexists(folder):
        listing[folder] = described(folder)
    for parent, directories, names in os.walk(folder):
        for name in directories + names:
            listing[os.path.join(parent, name)] = described(os.path.join(parent, name))
print(json.dumps(listing))
