"""Switches MLflow's autologging on, and notes its failures.

MLflow switches it on for a library after that library's import. For ``lightning`` it then imports ``mlflow.pytorch``, which
imports ``pytorch_lightning``. MLflow then handles that library in the middle of ``mlflow.pytorch``, fails, and leaves
autologging off for both. Here that step waits until ``mlflow.pytorch`` is complete.
"""

from __future__ import annotations

import functools
import logging
import re
import sys

from job_entrypoints.attempt.notes import AUTOLOG_FAILURE, add_notes

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
    """Switch autologging on. ``notes`` is the file for notes of failures."""
    # Not silent=True: that hides failures too. The filter drops messages of success.
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(functools.partial(_passes, notes=notes))
    mlflow.autolog(log_models=log_models, log_traces=False)


def postponing(notify: Callable[[ModuleType], object]) -> Callable[[ModuleType], object]:
    """Wrap MLflow's ``notify_module_loaded``: it postpones Lightning while ``mlflow.pytorch`` is being imported."""

    @functools.wraps(notify)
    def notify_in_time(module: ModuleType) -> object:
        pytorch = sys.modules.get(_PYTORCH)
        is_half_done = getattr(getattr(pytorch, "__spec__", None), "_initializing", False)
        if module.__name__ in _LIGHTNING and is_half_done:
            _postponed.append(lambda: notify(module))
            return None
        return notify(module)

    return notify_in_time


def notify_postponed() -> None:
    """Switch autologging on for libraries that were imported in the middle of ``mlflow.pytorch``."""
    waiting = list(_postponed)
    _postponed.clear()
    for notify in waiting:
        notify()


def _passes(record: logging.LogRecord, notes: str) -> bool:
    text = record.getMessage()
    failure = _FAILURES.match(text)
    if failure is not None:
        library = failure[1] or failure[2] or "MLflow"
        add_notes(notes, {AUTOLOG_FAILURE: f"{library}: {text[failure.end() :]}"})
    return record.levelno > logging.INFO
