"""scikit-learn's own records of its training table: the columns of its encoders, imputers and scalers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from serve_apps.model_server.inputs.training_table import TrainedColumn
from serve_apps.model_server.inputs.values import TEXT_DTYPE

_NUMERIC: Final = frozenset(
    {"linear_model", "svm", "tree", "neighbors", "naive_bayes", "neural_network", "discriminant_analysis", "cluster", "mixture"}
)
"""scikit-learn packages whose models read every column as a number."""
_SCALERS: Final = frozenset(
    {
        "StandardScaler",
        "MinMaxScaler",
        "MaxAbsScaler",
        "RobustScaler",
        "PowerTransformer",
        "QuantileTransformer",
        "PolynomialFeatures",
    }
)
_ENSEMBLES: Final = frozenset(
    f"{family}{kind}" for family in ("RandomForest", "ExtraTrees", "GradientBoosting") for kind in ("Classifier", "Regressor")
)


def trained_columns(model: Any) -> Mapping[str, TrainedColumn]:
    """Columns that a model's parts have records of, by name."""
    names = getattr(model, "feature_names_in_", None)
    return {} if names is None else dict(_learned(model, [str(name) for name in names]))


def _learned(estimator: Any, names: list[str]) -> Iterator[tuple[str, TrainedColumn]]:
    if hasattr(estimator, "best_estimator_"):
        yield from _learned(estimator.best_estimator_, names)
    elif hasattr(estimator, "steps"):
        first = next((step for _, step in estimator.steps if step not in (None, "passthrough")), None)
        yield from _learned(first, names)
    elif hasattr(estimator, "_transformer_to_input_indices"):
        for key, transformer, _ in estimator.transformers_:
            indices = estimator._transformer_to_input_indices.get(key, ())
            yield from _learned(transformer, [names[index] for index in indices])
    elif hasattr(estimator, "categories_") and len(estimator.categories_) == len(names):
        yield from ((name, _of_categories(name, known)) for name, known in zip(names, estimator.categories_, strict=True))
    elif hasattr(estimator, "statistics_"):
        yield from ((name, _of_imputer(name, estimator)) for name in names)
    elif _reads_numbers(estimator):
        yield from ((name, TrainedColumn(name, "float64", "nan")) for name in names)


def _reads_numbers(estimator: Any) -> bool:
    package, _, rest = type(estimator).__module__.partition(".")
    name = type(estimator).__name__
    return package == "sklearn" and (rest.partition(".")[0] in _NUMERIC or name in _SCALERS or name in _ENSEMBLES)


def _of_categories(name: str, known: Any) -> TrainedColumn:
    kind = known.dtype.kind
    if kind in "biu":
        return TrainedColumn(name, "bool" if kind == "b" else "int64")
    if kind == "f":
        return TrainedColumn(name, "float64", "nan")
    values = [value for value in known.tolist() if isinstance(value, str)]
    if any(value is None for value in known.tolist()):
        return TrainedColumn(name, "object", "None", "string" if values else "mixed")
    return TrainedColumn(name, TEXT_DTYPE, "nan", "string") if values else TrainedColumn(name, "object", "nan")


def _of_imputer(name: str, imputer: Any) -> TrainedColumn:
    if np.asarray(imputer.statistics_).dtype.kind == "f":
        return TrainedColumn(name, "float64", "nan")
    if imputer.missing_values is None:
        return TrainedColumn(name, "object", "None")
    return TrainedColumn(name, TEXT_DTYPE, "nan", "string")
