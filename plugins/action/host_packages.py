"""Install packages, having first checked that the archives offer what is expected.

Nothing is sent to the host when the facts already list every package: the usual run costs no round trip.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

ARGUMENTS = frozenset({"packages", "versions", "lock_timeout", "start"})
# What policy-rc.d answers when a daemon is not to be started by its package; see invoke-rc.d(8).
NOT_STARTED = 101


class ActionModule(ActionBase):
    """Arguments: packages (names), versions ({package: glob} expected of what is installed), lock_timeout (s),
    start (whether packages may start their daemons, as they do; otherwise a later task does)."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `installed` (names). Needs `ansible_facts.packages`, as host_facts gathers it."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        unknown = set(self._task.args) - ARGUMENTS
        if unknown:
            raise AnsibleActionFail(f"host_packages does not know {', '.join(sorted(unknown))}.")
        facts = variables.get("ansible_facts", {}).get("packages")
        if facts is None:
            raise AnsibleActionFail("host_packages needs host_facts to have run on this host.")
        packages = [str(name) for name in self._task.args.get("packages") or []]
        versions = {str(name): str(glob) for name, glob in (self._task.args.get("versions") or {}).items()}
        wrong = {
            name: facts[name]
            for name, glob in versions.items()
            if name in facts and not fnmatch(facts[name], glob)
        }
        if wrong:
            return {"failed": True, "msg": _wrong_installed(wrong, versions)}
        missing = sorted(name for name in packages if name not in facts)
        if not missing:
            return {"changed": False, "installed": []}
        diff = {"before": "", "after": "".join(f"{name}\n" for name in missing), "after_header": "packages"}
        if self._task.check_mode:
            return {"changed": True, "installed": missing, "diff": diff}
        return {**self._install(missing, versions, variables), "diff": diff}

    def _install(
        self, missing: list[str], versions: dict[str, str], variables: dict[str, Any]
    ) -> dict[str, Any]:
        expected = {name: glob for name, glob in versions.items() if name in missing}
        if expected:
            offered = self._execute_module(
                module_name="apt_candidates", module_args={"expected": expected}, task_vars=variables
            )
            if offered.get("failed"):
                return offered
        result = self._execute_module(
            module_name="ansible.legacy.apt",
            module_args={
                "name": missing,
                "state": "present",
                "install_recommends": False,
                "cache_valid_time": 86400,
                "update_cache_retries": 1,
                "lock_timeout": int(self._task.args.get("lock_timeout", 120)),
                "dpkg_options": "force-confdef,force-confold",
                **({} if boolean(self._task.args.get("start", True)) else {"policy_rc_d": NOT_STARTED}),
            },
            task_vars=variables,
        )
        if result.get("failed"):
            said = f"{result.get('stderr', '')}".strip()[-1500:]
            result["msg"] = (
                f"apt could not install {', '.join(missing)}. What dpkg had finished is kept; the next run goes on "
                f"from there. apt said: {result.get('msg', '')}\n{said}"
            )
            return result
        # A package brings files and users: what was seen at the beginning is not what stands now.
        seen: dict[str, Any] = {"standing": {}}
        return {"changed": bool(result.get("changed")), "installed": missing, "ansible_facts": seen}


def _wrong_installed(wrong: dict[str, str], versions: dict[str, str]) -> str:
    rows = [f"{name} {found} (expected {versions[name]})" for name, found in sorted(wrong.items())]
    return (
        f"This host has {', '.join(rows)} installed already. Slipway does not replace an installed version by "
        "itself; nothing was changed. Upgrade it by hand, or change the expected version in the inventory."
    )
