"""Chooses the model of a job to register and the run to show, and names them in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raylift.domain.listing import listed
from raylift.domain.models.version import LoggedModel, ModelKind, TrackedRun
from raylift.domain.sources.script_notes import ScriptNotes

_RANK: Final = {ModelKind.PREDICTOR: 2, ModelKind.OTHER: 1, ModelKind.BASELINE: 0}

_NO_NOTES: Final = ScriptNotes()

_MOST_NAMED: Final = 5
"""Number of models or runs that one sentence names."""

_PYTORCH: Final = 'mlflow.pytorch.log_model(model, name="model")'
_CALLS: Final = {
    "sklearn": 'mlflow.sklearn.log_model(model, name="model")',
    "xgboost": 'mlflow.xgboost.log_model(model, name="model")',
    "lightgbm": 'mlflow.lightgbm.log_model(model, name="model")',
    "catboost": 'mlflow.catboost.log_model(model, name="model")',
    "torch": _PYTORCH,
    "lightning": _PYTORCH,
    "pytorch_lightning": _PYTORCH,
    "keras": 'mlflow.keras.log_model(model, name="model")',
    "tensorflow": 'mlflow.tensorflow.log_model(model, name="model")',
    "transformers": 'mlflow.transformers.log_model(pipeline, name="model")',
    "spacy": 'mlflow.spacy.log_model(nlp, name="model")',
    "prophet": 'mlflow.prophet.log_model(model, name="model")',
    "statsmodels": 'mlflow.statsmodels.log_model(results, name="model")',
    "pmdarima": 'mlflow.pmdarima.log_model(model, name="model")',
    "pyspark": 'mlflow.spark.log_model(model, "model")',
    "jax": 'mlflow.pyfunc.log_model(name="model", python_model=…), whose predict calls the model',
}
"""A call that logs a model, by the module of its library."""
_AUTOLOGGED: Final = {
    "sklearn": "fit a scikit-learn, XGBoost or LightGBM model",
    "xgboost": "fit the model",
    "lightgbm": "fit the model",
    "lightning": "fit the module with lightning.Trainer",
    "pytorch_lightning": "fit the module with pytorch_lightning.Trainer",
    "keras": "fit the model",
    "tensorflow": "fit a Keras model",
    "statsmodels": "fit the model",
}
"""Step that makes autologging log a model, by the library's module."""


def choose_model(
    logged: Sequence[LoggedModel], model_name: str, register: str | None = None, runs: Sequence[TrackedRun] = ()
) -> LoggedModel | None:
    """Return the model to register; None where there is none.

    Explicitly logged models come before autologged ones. Among the former the one named like the registered model comes first,
    then the one named ``model``. Supervised models come before transformers and clusterers, these before Dummy estimators.
    Among equals the last: a search logs its best estimator after itself.

    Args:
        logged: models that the script logged, oldest first.
        model_name: the registered model.
        register: choice of the upload: a name, a class, or the id or name of a run.
        runs: the runs of the job.
    """
    candidates = list(logged) if register is None else _matching(logged, register, runs)
    # The last among equals: sorting is stable.
    return sorted(candidates, key=lambda model: _merit(model, model_name))[-1] if candidates else None


def choose_run(runs: Sequence[TrackedRun], run_id: str | None) -> TrackedRun | None:
    """Return the run that made the version, else the last run without a parent in the job. ``runs`` is oldest first."""
    own = [run for run in runs if run.run_id == run_id]
    # In a sweep all runs are children of the sweep's run, which does not belong to the job.
    ids = {run.run_id for run in runs}
    top = [run for run in runs if run.parent_run_id not in ids]
    candidates = own or top or list(runs)
    return candidates[-1] if candidates else None


def choice(model: LoggedModel, logged: Sequence[LoggedModel], runs: Sequence[TrackedRun]) -> str:
    """Describe the chosen model and the others; empty where the script logged only one."""
    others = [other for other in logged if other is not model]
    if not others:
        return ""
    first = f": {_described(model, runs)}, chosen from the {len(logged)} models that the script logged"
    return f"{first} (also {_listed(others, runs)}). Choose another one with register, by its name, class or run"


def whose_metrics(run: TrackedRun | None, runs: Sequence[TrackedRun]) -> str:
    """Name the run whose metrics the job shows; empty where it made only one, apart from candidates of a search."""
    others = [] if run is None else [other for other in runs if run.run_id not in {other.run_id, other.parent_run_id}]
    if run is None or not others:
        return ""
    # The last ones, in their order.
    shown, earlier = others[-_MOST_NAMED:], others[:-_MOST_NAMED]
    named = listed([other.name or other.run_id for other in (*shown, *earlier)], _MOST_NAMED)
    return f" Its metrics are those of run {run.name or run.run_id}; it also made {named}."


def no_model(
    name: str,
    register: str | None,
    logged: Sequence[LoggedModel],
    runs: Sequence[TrackedRun],
    notes: ScriptNotes = _NO_NOTES,
) -> str:
    """Return the message for a job without a model to register, with advice for the library that the script uses."""
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
        f"{_how_to_log(notes.library)}; to run a script without registering anything, leave model_name out."
    )


def _merit(model: LoggedModel, model_name: str) -> tuple[int, int, int]:
    if model.autologged:
        # Autologging gives every model the same name.
        return (0, 0, _RANK[model.kind])
    return (1, 2 if model.name == model_name else 1 if model.name == "model" else 0, _RANK[model.kind])


def _matching(logged: Sequence[LoggedModel], register: str, runs: Sequence[TrackedRun]) -> list[LoggedModel]:
    run_ids = {register, *(run.run_id for run in runs if run.name == register)}
    named = [model for model in logged if register in {model.name, model.model_id} or model.run_id in run_ids]
    # A search over forests counts as a forest only where no plain forest was logged.
    plain = [model for model in logged if model.classes[:1] == (register,)]
    return named or plain or [model for model in logged if register in model.classes]


def _listed(models: Sequence[LoggedModel], runs: Sequence[TrackedRun]) -> str:
    return listed([_described(model, runs) for model in models])


def _described(model: LoggedModel, runs: Sequence[TrackedRun]) -> str:
    run = next((run for run in runs if run.run_id == model.run_id), None)
    shown = " of ".join(model.classes) or "a model"
    where = f" of run {run.name or run.run_id}" if run is not None else ""
    return f"{shown} ({model.name!r}{where})"


def autolog_failed(notes: ScriptNotes) -> str:
    """Return a sentence on an autologging that failed; empty where none did."""
    return f" Autologging failed ({notes.autolog_failure})." if notes.autolog_failure is not None else ""


def _how_to_log(library: str | None) -> str:
    """Return a sentence on the call that logs a model of this library."""
    call, fit = _CALLS.get(library or "", _CALLS["sklearn"]), _AUTOLOGGED.get(library or "sklearn")
    autolog = f", or leave autolog on and {fit}" if fit is not None else ""
    return f"Log one, for example with {call}{autolog}"
