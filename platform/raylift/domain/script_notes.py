"""Notes of a script's process that the job's message is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScriptNotes:
    """Text of the user's process: shown, never trusted."""

    tracks_at: str | None = None
    """Address at which the script tracked its runs, if not in the job's MLflow."""
    library: str | None = None
    """The training library that it uses, by the name of its module."""
    autolog_failure: str | None = None
    """MLflow's sentence on an autologging that failed."""
