"""What every process of a task would do anew is done once: filters are imported, and cycles looked for rarely."""

from __future__ import annotations

import gc

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

DOCUMENTATION = """
name: controller_cpu
type: aggregate
short_description: Do once what every task's process would do anew
description: Imports filters and tests, and has Python look for cycles of objects rarely.
"""
# Objects made before Python looks, 700 by default. A run makes some millions, and frees most without looking.
YOUNG = 100_000


class CallbackModule(CallbackBase):
    """It hears of nothing: what it does is done when it is loaded, before the first task's process is made."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "controller_cpu"

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        # To ask for one is to import all of them.
        filter_loader.get("ansible.builtin.mandatory")
        test_loader.get("ansible.builtin.defined")
        gc.freeze()
        gc.set_threshold(YOUNG, 50, 50)
