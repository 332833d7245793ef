"""The values of an inventory's variables, which `ansible-inventory` gives with their expressions unread.

Only what the deploying side needs: plain expressions over other variables of the inventory. Lookups and secrets
are Ansible's business.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.nativetypes import NativeEnvironment

from fabfile.errors import RefusedError

REQUIRED = object()
DEEPEST = 20


class Variables:
    """The variables of every host of an inventory. listed: what ansible-inventory --list answered."""

    def __init__(self, listed: dict[str, Any], inventory: Path) -> None:
        self.hostvars: dict[str, dict[str, Any]] = listed["_meta"]["hostvars"]
        self.groups = {name: _members(listed, name) for name in listed if name != "_meta"}
        self.inventory = inventory
        self._jinja = NativeEnvironment(undefined=StrictUndefined)
        self._jinja.filters["basename"] = lambda text: Path(text).name
        self._jinja.filters["difference"] = lambda left, right: [item for item in left if item not in right]

    def of(self, host: str, name: str, default: Any = REQUIRED) -> Any:
        """The value of a variable for a host, as Ansible would have it. Raises RefusedError when it has none."""
        try:
            return self._value(host, name, default, 0)
        except (TemplateError, RecursionError, TypeError, LookupError) as failure:
            raise RefusedError(
                f"The variable {name} of {host} cannot be read for a deploy ({failure}); nothing was changed. "
                f"Write it plainly in {self.inventory}/group_vars."
            ) from None

    def readable(self, host: str, name: str) -> dict[str, str]:
        """The values of a dictionary, as text, but for those that only Ansible can read."""
        found = {}
        for key, value in self.hostvars.get(host, {}).get(name, {}).items():
            with suppress(TemplateError, RecursionError, TypeError, LookupError, RefusedError):
                found[str(key)] = str(self._read(host, value, 0))
        return found

    def _value(self, host: str, name: str, default: Any, depth: int) -> Any:
        if name not in self.hostvars.get(host, {}):
            if default is REQUIRED:
                raise RefusedError(
                    f"The inventory {self.inventory} gives {host} no {name}; nothing was changed."
                )
            return default
        return self._read(host, self.hostvars[host][name], depth)

    def _read(self, host: str, value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise RecursionError("the variables refer to each other in a circle")
        if isinstance(value, list):
            return [self._read(host, item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {key: self._read(host, item, depth + 1) for key, item in value.items()}
        if not isinstance(value, str) or "{{" not in value:
            return value
        template = self._jinja.from_string(value)
        return template.render(_Scope(self, host, depth + 1).names(value))


class _Scope:
    """The names that a template of one host may use, each read only when it is used."""

    def __init__(self, variables: Variables, host: str, depth: int) -> None:
        self.variables, self.host, self.depth = variables, host, depth

    def names(self, template: str) -> dict[str, Any]:
        variables, own = self.variables, self.variables.hostvars[self.host]
        found: dict[str, Any] = {
            "inventory_hostname": self.host,
            "inventory_dir": str(variables.inventory),
            "groups": variables.groups,
            "hostvars": {name: _Lazy(variables, name, self.depth) for name in variables.hostvars},
        }
        for name in own:
            if name in template and name not in found:
                found[name] = variables._value(self.host, name, REQUIRED, self.depth)
        return found


class _Lazy(dict[str, Any]):
    """The variables of one host, as a template sees them through hostvars."""

    def __init__(self, variables: Variables, host: str, depth: int) -> None:
        super().__init__(variables.hostvars[host])
        self._variables, self._host, self._depth = variables, host, depth

    def __getitem__(self, name: str) -> Any:
        return self._variables._value(self._host, name, REQUIRED, self._depth)


def _members(listed: dict[str, Any], group: str) -> list[str]:
    found = list(listed[group].get("hosts", []))
    for child in listed[group].get("children", []):
        if child in listed:
            found += [host for host in _members(listed, child) if host not in found]
    return found
