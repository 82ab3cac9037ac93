"""The model of a job that is registered, the run that is shown, and the sentences that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raylift.domain.model_version import LoggedModel, ModelKind, TrackedRun
from raylift.domain.script_notes import ScriptNotes
from raylift.supervisor.jobs.advice import autolog_failed, how_to_log

_RANK: Final = {ModelKind.PREDICTOR: 2, ModelKind.OTHER: 1, ModelKind.BASELINE: 0}

_NO_NOTES: Final = ScriptNotes()

_MOST_NAMED: Final = 5
"""Models or runs that one sentence names."""


def choose_model(
    logged: Sequence[LoggedModel], model_name: str, register: str | None = None, runs: Sequence[TrackedRun] = ()
) -> LoggedModel | None:
    """The model to register; None where there is none. ``logged`` is oldest first.

    Explicitly logged models come before autologged ones. Among the former the one named like the registered model comes first,
    then the one named ``model``. Supervised models come before transformers and clusterers, these before Dummy estimators.
    Among equals the last: a search logs its best estimator after itself.

    Args:
        logged: what the script logged.
        model_name: the registered model.
        register: which of them the upload chose, by name, class, or the id or name of its run.
        runs: the runs of the job.
    """
    candidates = list(logged) if register is None else _matching(logged, register, runs)
    # The last among equals: sorting is stable.
    return sorted(candidates, key=lambda model: _merit(model, model_name))[-1] if candidates else None


def choose_run(runs: Sequence[TrackedRun], run_id: str | None) -> TrackedRun | None:
    """The job's run: the one that made its version, else the last that is no other's child. ``runs`` is oldest first."""
    own = [run for run in runs if run.run_id == run_id]
    # In a sweep all of them are children of its parent run, which is none of the job's.
    ids = {run.run_id for run in runs}
    top = [run for run in runs if run.parent_run_id not in ids]
    candidates = own or top or list(runs)
    return candidates[-1] if candidates else None


def choice(model: LoggedModel, logged: Sequence[LoggedModel], runs: Sequence[TrackedRun]) -> str:
    """Words for the model that was chosen, and for the others; empty where the script logged one model only."""
    others = [other for other in logged if other is not model]
    if not others:
        return ""
    first = f": {_described(model, runs)}, chosen from the {len(logged)} models that the script logged"
    return f"{first} (also {_listed(others, runs)}). Choose another one with register, by its name, class or run"


def whose_metrics(run: TrackedRun | None, runs: Sequence[TrackedRun]) -> str:
    """Whose metrics the job shows; empty where it made one run only. Candidates of a search are of its run."""
    others = [] if run is None else [other for other in runs if run.run_id not in {other.run_id, other.parent_run_id}]
    if run is None or not others:
        return ""
    rest = len(others) - _MOST_NAMED
    named = ", ".join(other.name or other.run_id for other in others[-_MOST_NAMED:]) + (f" and {rest} more" if rest > 0 else "")
    return f" Its metrics are those of run {run.name or run.run_id}; it also made {named}."


def no_model(
    name: str,
    register: str | None,
    logged: Sequence[LoggedModel],
    runs: Sequence[TrackedRun],
    notes: ScriptNotes = _NO_NOTES,
) -> str:
    """The sentences for a job that was to register a model and has none, in the words of the script's own library."""
    if register is not None and logged:
        return (
            f"The script succeeded, but none of its models has {register!r} as its name, its class or its run: it logged "
            f"{_listed(logged, runs)}. Name one of them with register, or leave register out."
        )
    if notes.tracks_at is not None:
        return (
            f"The script succeeded, but tracks its runs elsewhere: its tracking address is {notes.tracks_at} "
            "(set_tracking_uri or MLFLOW_TRACKING_URI). The platform sees no runs and no models there, so there is none to "
            f"register as {name!r}. Leave the address as the job has it, or leave model_name out."
        )
    made = f"{len(runs)} MLflow run{'s' if len(runs) != 1 else ''}" if runs else "no MLflow run"
    return (
        f"The script succeeded and made {made}, but logged no model to register as {name!r}.{autolog_failed(notes)} "
        f"{how_to_log(notes.library)}; to run a script without registering anything, leave model_name out."
    )


def _merit(model: LoggedModel, model_name: str) -> tuple[int, int, int]:
    if model.autologged:
        # Autologging names every model alike.
        return (0, 0, _RANK[model.kind])
    return (1, 2 if model.name == model_name else 1 if model.name == "model" else 0, _RANK[model.kind])


def _matching(logged: Sequence[LoggedModel], register: str, runs: Sequence[TrackedRun]) -> list[LoggedModel]:
    run_ids = {register, *(run.run_id for run in runs if run.name == register)}
    named = [model for model in logged if register in {model.name, model.model_id} or model.run_id in run_ids]
    # A search of forests is a forest only where there is no plain one.
    plain = [model for model in logged if model.classes[:1] == (register,)]
    return named or plain or [model for model in logged if register in model.classes]


def _listed(models: Sequence[LoggedModel], runs: Sequence[TrackedRun]) -> str:
    rest = len(models) - _MOST_NAMED
    named = ", ".join(_described(model, runs) for model in models[:_MOST_NAMED])
    return f"{named} and {rest} more" if rest > 0 else named


def _described(model: LoggedModel, runs: Sequence[TrackedRun]) -> str:
    run = next((run for run in runs if run.run_id == model.run_id), None)
    shown = " of ".join(model.classes) or "a model"
    where = f" of run {run.name or run.run_id}" if run is not None else ""
    return f"{shown} ({model.name!r}{where})"
