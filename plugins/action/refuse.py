"""Refuse to go on with a host, for all that is wrong at once.

ansible.builtin.assert reads its condition and its message anew, and both of these are all the rules of a role.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Arguments: sentences, a list of why, where an empty one refuses nothing; and preface, said before them.

    It is for before the first change.
    """

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with the sentences, and that nothing was changed."""
        super().run(tmp, task_vars)
        arguments = {"preface": "", **self._task.args}
        if set(arguments) != {"sentences", "preface"} or not isinstance(arguments["sentences"], list):
            raise AnsibleActionFail("refuse takes sentences, a list of why, and preface.")
        if not arguments["sentences"]:
            return {"changed": False}
        said = [arguments["preface"], *arguments["sentences"], "Nothing was changed."]
        return {"failed": True, "msg": " ".join(str(sentence) for sentence in said if sentence)}
