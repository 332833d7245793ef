"""Writes every result of a run to the file SLIPWAY_TEST_RECORD names, one JSON object a line, for the tests."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: records results for the tests
description: one JSON object a line, with task, host and result
"""


class CallbackModule(CallbackBase):
    """{task, host, result} of what ran; what was skipped is left out."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write(result, failed=True)

    @staticmethod
    def _write(result: Any, *, failed: bool) -> None:
        told = {**result.result, "failed": failed}
        row = {"task": result.task.get_name(), "host": result.host.get_name(), "result": told}
        with open(os.environ["SLIPWAY_TEST_RECORD"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, default=str) + "\n")
