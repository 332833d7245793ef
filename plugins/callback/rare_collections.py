"""Have Python look for cycles rarely: a run is short, and each of its processes would look through all of it anew."""

from __future__ import annotations

import gc

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: rare_collections
type: aggregate
short_description: Have Python look for cycles of objects rarely
description: A fifth of the CPU of a run that changes nothing went into it.
"""
# Objects made before Python looks, 700 by default. A run makes some millions, and frees most without looking.
YOUNG = 100_000


class CallbackModule(CallbackBase):
    """It hears of nothing: what it does is done when it is loaded, before the first task's process is made."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rare_collections"

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        gc.freeze()
        gc.set_threshold(YOUNG, 50, 50)
