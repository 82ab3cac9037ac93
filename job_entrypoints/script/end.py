"""Notes the end of a script: its exception, its training library, and what keeps its process. Imported on demand."""

from __future__ import annotations

import json
import sys
import time

from job_entrypoints.attempt.notes import ENDED_AT, ERROR, HELD_BY, LIBRARY, add_notes
from job_entrypoints.script.failure import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MLFLOW_THREAD = "Mlflow"
"""Prefix of the names of MLflow's own threads, which end with the process."""
_LIBRARIES = (
    "lightning",
    "pytorch_lightning",
    "transformers",
    "keras",
    "tensorflow",
    "spacy",
    "prophet",
    "pmdarima",
    "catboost",
    "pyspark",
    "jax",
    "torch",
    "xgboost",
    "lightgbm",
    "statsmodels",
    "sklearn",
)
"""Modules of training libraries. A library comes before those that it builds upon."""

failed = False
"""True if the script ended with an exception, or with an exit code other than 0."""


def _described(error: BaseException, script: str, settings: dict[str, Any]) -> str | None:
    return describe(error, script, project=bool(settings["is_project"]), sandboxed=bool(settings.get("sandboxed")))


def note_end(instructions: str, script: str, error: BaseException | None) -> None:
    """Note an exception, and the threads and processes that Python waits for. Never raises: the script's error comes first."""
    global failed
    failed = error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0))
    try:
        notes: dict[str, Any] = {}
        settings: dict[str, Any] = json.loads(instructions)
        described = _described(error, script, settings) if error is not None else None
        if described:
            notes[ERROR] = described
        if holders := _holders():
            notes |= {ENDED_AT: time.time(), HELD_BY: ", ".join(holders)}
        if library := library_of(script):
            notes[LIBRARY] = library
        if notes:
            add_notes(settings["notes"], notes)
    except Exception as fault:  # noqa: BLE001
        print(f"[raylift] the script's end could not be noted: {fault!r}", file=sys.stderr)  # noqa: T201


def library_of(script: str) -> str | None:
    """The library that the script imports itself, else one that was imported indirectly, else None."""
    loaded = [name for name in _LIBRARIES if name in sys.modules]
    if not loaded:
        return None
    from job_entrypoints.tracking.model_requirements import imports_in

    imported = imports_in(script)
    return next((name for name in loaded if name in imported), loaded[0])


def _holders() -> list[str]:
    threading, processes = sys.modules.get("threading"), sys.modules.get("multiprocessing.process")
    held: list[str] = []
    if threading is not None:
        main = threading.main_thread()
        held += [
            f"the thread {thread.name!r}"
            for thread in threading.enumerate()
            if thread is not main and not thread.daemon and not thread.name.startswith(_MLFLOW_THREAD)
        ]
    if processes is not None:
        held += [f"the process {child.name!r}" for child in processes.active_children() if not child.daemon]
    return held
