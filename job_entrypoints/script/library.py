"""Names the training library of a script, so that advice can be specific to it."""

from __future__ import annotations

import sys

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


def library_of(script: str) -> str | None:
    """The library that the script imports itself, else one that was imported indirectly, else None."""
    loaded = [name for name in _LIBRARIES if name in sys.modules]
    if not loaded:
        return None
    from job_entrypoints.tracking.model_requirements import imports_in

    imported = imports_in(script)
    return next((name for name in loaded if name in imported), loaded[0])
