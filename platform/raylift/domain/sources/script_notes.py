"""Notes from a script's process, which become part of the job's message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScriptNotes:
    """Texts from the user's process: shown, never trusted."""

    tracks_at: str | None = None
    """Tracking address that the script used instead of the job's MLflow."""
    library: str | None = None
    """Module name of its training library."""
    autolog_failure: str | None = None
    """MLflow's message about a failed autologging."""
