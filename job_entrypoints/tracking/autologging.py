"""Switches MLflow's autologging on, and notes where it fails.

MLflow switches it on for a library when that has been imported. For ``lightning`` it then imports its own ``mlflow.pytorch``,
which imports ``pytorch_lightning``: that library's turn comes in the middle of ``mlflow.pytorch``, fails, and leaves
autologging off for both. Here that turn waits until ``mlflow.pytorch`` is complete.
"""

from __future__ import annotations

import functools
import logging
import re
import sys

from job_entrypoints.script.notes import AUTOLOG_FAILURE, add_notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_LOGGERS = ("mlflow.tracking.fluent", "mlflow.utils.autologging_utils")
_FAILURES = re.compile(
    r"(?:Exception raised while enabling autologging for (\S+)|Encountered unexpected error during (?:(\S+) )?autologging): "
)
_PYTORCH = "mlflow.pytorch"
_LIGHTNING = frozenset({"lightning", "pytorch_lightning"})

_postponed: list[Callable[[], object]] = []


def switch_on(mlflow: Any, notes: str, *, log_models: bool) -> None:
    """Switch autologging on. ``notes`` is the file that failures are noted in."""
    # Not silent: that hides failures too. What is only good news is left out.
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(functools.partial(_passes, notes=notes))
    mlflow.autolog(log_models=log_models, log_traces=False)


def postponing(notify: Callable[[ModuleType], object]) -> Callable[[ModuleType], object]:
    """MLflow's ``notify_module_loaded``, which waits with Lightning while ``mlflow.pytorch`` is being imported."""

    @functools.wraps(notify)
    def notify_in_time(module: ModuleType) -> object:
        pytorch = sys.modules.get(_PYTORCH)
        is_half_done = getattr(getattr(pytorch, "__spec__", None), "_initializing", False)
        if module.__name__ in _LIGHTNING and is_half_done:
            _postponed.append(lambda: notify(module))
            return None
        return notify(module)

    return notify_in_time


def tell_postponed() -> None:
    """Switch autologging on for what was imported in the middle of ``mlflow.pytorch``."""
    waiting = list(_postponed)
    _postponed.clear()
    for tell in waiting:
        tell()


def _passes(record: logging.LogRecord, notes: str) -> bool:
    text = record.getMessage()
    failure = _FAILURES.match(text)
    if failure is not None:
        library = failure[1] or failure[2] or "MLflow"
        add_notes(notes, {AUTOLOG_FAILURE: f"{library}: {text[failure.end() :]}"})
    return record.levelno > logging.INFO
