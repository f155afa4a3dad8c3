"""What the program tells the engine, and whoever reads what that prints, beside its resources.

About each resource the SDK sends the engine several debug messages, and waits each time until that has taken note.
The engine throws them away unless it runs with `--debug`. For 52 machines they took a fifth of a preview: 17.5 s of
CPU time with them, 13.9 s without.
"""

from __future__ import annotations

import os
import signal
import sys

import pulumi

KEPT = "PHP_CLUSTER_DEBUG"
"""Set in the environment beside `--debug`, which a program is not told of, to have the SDK's messages too."""


def _drop(*_: object, **__: object) -> None:
    """In place of `pulumi.log.debug`."""


def drop_debug_messages() -> None:
    """Keeps the SDK's debug messages here."""
    if not os.environ.get(KEPT):
        pulumi.log.debug = _drop


def leave_quietly_when_told() -> None:
    """Ends the program without a word when the engine interrupts it.

    It does so whenever a step has failed. Python's traceback of that would stand between the user and the error.
    """
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
