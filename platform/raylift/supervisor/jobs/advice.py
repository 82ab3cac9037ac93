"""Advice on logging a model, in the words of the library that the script uses."""

from __future__ import annotations

from typing import Final

from raylift.domain.script_notes import ScriptNotes

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


def autolog_failed(notes: ScriptNotes) -> str:
    """A sentence on an autologging that failed; empty where none did."""
    return f" Autologging failed ({notes.autolog_failure})." if notes.autolog_failure is not None else ""


def how_to_log(library: str | None) -> str:
    """Sentence on the call that logs a model of this library."""
    call, fit = _CALLS.get(library or "", _CALLS["sklearn"]), _AUTOLOGGED.get(library or "sklearn")
    autolog = f", or leave autolog on and {fit}" if fit is not None else ""
    return f"Log one, for example with {call}{autolog}"
