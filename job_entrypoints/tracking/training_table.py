"""Records the schema of the table that a model was trained on, as a file beside each model that MLflow logs.

A model's signature lacks the column order of the fit, time units, zones, categories, and the difference between None and NaN.
The replica builds every request's table from this file (serve_apps/model_server/inputs).

Hooks see the table in ``fit`` (scikit-learn, XGBoost, LightGBM), in ``DMatrix`` and ``Dataset``, and in ``infer_signature``.
They store its schema by the resulting model, as long as that model lives. ``Model.log`` finds it there.
"""

from __future__ import annotations

import contextvars
import functools
import json
import os
import sys
import threading
import weakref

from job_entrypoints.contract import REFERENCE_PROFILE_FILE, TRAINING_TABLE_FILE
from job_entrypoints.tracking.reference_profile import has_time, profile_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

PROFILE = "profile"
"""Field of a schema with the reference profile, which has a file of its own."""
SAMPLE_ROWS = 100_000
"""Values of an object column that are inspected to name their kind."""

_schemas: dict[int, tuple[weakref.ref[Any], dict[str, Any]]] = {}
"""Id of a model, data set or signature → that object, and the schema of the table that it was made from."""
_by_names: dict[tuple[Any, ...], dict[str, Any]] = {}
"""Column names → the schema of the last such table. Finds the schema of a model that was fitted inside another."""
_logged: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("logged", default=None)
"""The schema of the model that is being logged."""
_fits = threading.local()
"""``depth`` is 1 inside of a fit."""


def patch(module: ModuleType) -> None:
    """Patch a module of a library, directly after its import (import_hooks.py)."""
    library, _, name = module.__name__.partition(".")
    match library, name:
        case "sklearn", _:
            _replace(module, "_fit_context", _watching_context)
        case "xgboost" | "lightgbm", "sklearn":
            for kind in list(vars(module).values()):
                if isinstance(kind, type) and kind.__module__ == module.__name__ and "fit" in vars(kind):
                    _replace(kind, "fit", _watching_fit)
        case "xgboost" | "lightgbm", "training" | "engine":
            _replace(module, "train", _watching_train)
        case "xgboost" | "lightgbm", _:
            for kind in ("DMatrix", "QuantileDMatrix", "Dataset"):
                if hasattr(module, kind):
                    _replace(getattr(module, kind), "__init__", _watching_data)
        case _, "models.signature":
            _replace(module, "infer_signature", _watching_signature)
        case _:
            _replace_log(module.Model)


def _replace_log(model: Any) -> None:
    model.log = classmethod(_choosing(vars(model)["log"].__func__))
    _replace(model, "save", _writing)


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _watching_context(fit_context: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap scikit-learn's decorator of every public ``fit``, ``fit_transform`` and ``partial_fit``."""

    @functools.wraps(fit_context)
    def with_table(**options: Any) -> Callable[[Any], Any]:
        decorate = fit_context(**options)
        return lambda method: _watching_fit(decorate(method))

    return with_table


def _watching_fit(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def fit(estimator: Any, *arguments: Any, **named: Any) -> Any:
        if getattr(_fits, "depth", 0):
            # An estimator inside another sees slices of the table, thousands of times in a search.
            return method(estimator, *arguments, **named)
        data = arguments[0] if arguments else named.get("X")
        schema = _with_profile(schema_of(data), data, arguments[1] if len(arguments) > 1 else named.get("y"))
        _fits.depth = 1
        try:
            fitted = method(estimator, *arguments, **named)
        finally:
            _fits.depth = 0
        _store(estimator, schema)
        return fitted

    return fit


def _watching_data(initialize: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(initialize)
    def with_table(data_set: Any, data: Any = None, *arguments: Any, **named: Any) -> None:
        # The library may read data as an iterator, so it comes first.
        initialize(data_set, data, *arguments, **named)
        if not getattr(_fits, "depth", 0):
            label = arguments[0] if arguments else named.get("label")
            _store(data_set, _with_profile(schema_of(data), data, label))

    return with_table


def _watching_train(train: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(train)
    def with_table(params: Any, *arguments: Any, **named: Any) -> Any:
        booster = train(params, *arguments, **named)
        data = arguments[0] if arguments else named.get("dtrain", named.get("train_set"))
        _store(booster, _recorded(data))
        return booster

    return with_table


def _watching_signature(infer: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(infer)
    def infer_signature(model_input: Any = None, *arguments: Any, **named: Any) -> Any:
        signature = infer(model_input, *arguments, **named)
        output = arguments[0] if arguments else named.get("model_output")
        schema = _with_profile(schema_of(model_input), model_input, output)
        if schema is not None:
            _store(signature, {**schema, "source": "signature"}, by_names=False)
        return signature

    return infer_signature


def _choosing(log: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(log)
    def with_table(*arguments: Any, **named: Any) -> Any:
        token = _logged.set(_schema_of_logged(named) or {"source": "none"})
        try:
            return log(*arguments, **named)
        finally:
            _logged.reset(token)

    return with_table


def _writing(save: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(save)
    def with_table(model: Any, path: Any) -> None:
        save(model, path)
        schema = _logged.get()
        if schema is not None:
            from job_entrypoints.tracking.numerics import numerics

            directory, profile = os.path.dirname(path), schema.get(PROFILE)
            table = {name: value for name, value in schema.items() if name != PROFILE}
            with open(os.path.join(directory, TRAINING_TABLE_FILE), "w", encoding="utf-8") as file:
                json.dump({"version": 1, **table, "numerics": numerics()}, file)
            if profile is not None:
                with open(os.path.join(directory, REFERENCE_PROFILE_FILE), "w", encoding="utf-8") as file:
                    json.dump(profile, file)

    return with_table


def _schema_of_logged(named: dict[str, Any]) -> dict[str, Any] | None:
    """The schema for the arguments of ``Model.log``: from the model's training, its signature or its input example."""
    models = [value for name, value in named.items() if name not in ("signature", "input_example", "flavor")]
    for model in models:
        found = _recorded(model) or _recorded_by_names(model)
        if found is not None:
            return found
    found = _recorded(named.get("signature"))
    if found is not None:
        return found
    schema = schema_of(named.get("input_example"))
    return None if schema is None or "columns" not in schema else {**schema, "source": "input_example"}


def _store(thing: Any, schema: dict[str, Any] | None, *, by_names: bool = True) -> None:
    key = id(thing)
    if schema is None:
        _schemas.pop(key, None)
        return
    _schemas[key] = (weakref.ref(thing, lambda _: _schemas.pop(key, None)), schema)
    if by_names and "columns" in schema:
        _by_names[tuple(column["name"] for column in schema["columns"])] = schema


def _recorded(thing: Any) -> dict[str, Any] | None:
    found = _schemas.get(id(thing))
    return found[1] if found is not None and found[0]() is thing else None


def _recorded_by_names(model: Any) -> dict[str, Any] | None:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        # The names of a booster, of XGBoost or of LightGBM.
        names = getattr(model, "feature_names", None) or getattr(model, "feature_name", None)
        names = names() if callable(names) else names
    return _by_names.get(tuple(names)) if isinstance(names, (list, tuple)) or hasattr(names, "dtype") else None


def _with_profile(schema: dict[str, Any] | None, data: Any, target: Any) -> dict[str, Any] | None:
    """Add the reference profile. Beyond its budget of time it is that of the last table with the same columns."""
    if schema is None:
        return None
    if has_time():
        profile = profile_of(data, target)
    else:
        profile = _by_names.get(tuple(column["name"] for column in schema.get("columns", ())), {}).get(PROFILE)
    return schema if profile is None else {**schema, PROFILE: profile}


def schema_of(data: Any) -> dict[str, Any] | None:
    """The schema of a pandas frame, or of a two-dimensional array, as JSON. None for other data."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _schema_of_frame(data, pandas)
    if numpy is not None and isinstance(data, numpy.ndarray) and data.ndim == 2:
        return {"source": "training", "array": _array(data, pandas)}
    return None


def _array(data: Any, pandas: Any) -> dict[str, Any]:
    array: dict[str, Any] = {"dtype": str(data.dtype), "width": int(data.shape[1])}
    if array["dtype"] == "object" and pandas is not None:
        missing = data[pandas.isna(data)]
        array["missing"] = _word_of(missing[0], pandas) if len(missing) else None
    return array


def _schema_of_frame(frame: Any, pandas: Any) -> dict[str, Any] | None:
    labels = [label for label in map(_label, frame.columns) if label is not None]
    if len(set(labels)) < len(frame.columns):
        return None
    columns = [_column(label, frame.iloc[:, index], pandas) for index, label in enumerate(labels)]
    return {"source": "training", "columns": columns}


def _label(label: Any) -> str | int | None:
    """A column's name in JSON; None if it is neither text nor a whole number."""
    if isinstance(label, str):
        return str(label)
    if isinstance(label, bool):
        return None
    try:
        return label.__index__()
    except AttributeError:
        return None


def _column(name: str | int, values: Any, pandas: Any) -> dict[str, Any]:
    dtype = values.dtype
    column: dict[str, Any] = {"name": name, "dtype": str(dtype)}
    missing = values.isna().to_numpy(dtype=bool)
    column["missing"] = _word_of(values[missing].iloc[0], pandas) if missing.any() else None
    if isinstance(dtype, pandas.CategoricalDtype):
        column |= _categories(dtype)
    elif str(dtype) == "object":
        column["values"] = pandas.api.types.infer_dtype(values[~missing].iloc[:SAMPLE_ROWS], skipna=False)
    return column


def _categories(dtype: Any) -> dict[str, Any]:
    categories = dtype.categories
    values = categories.tolist()
    if str(categories.dtype).startswith("interval"):
        values = [[interval.left, interval.right] for interval in values]
    elif categories.dtype.kind == "M":
        values = [value.isoformat() for value in values]
    known: dict[str, Any] = {"ordered": bool(dtype.ordered), "categories_dtype": str(categories.dtype)}
    try:
        json.dumps(values)
    except TypeError:
        return known
    return {**known, "categories": values}


def _word_of(value: Any, pandas: Any) -> str:
    """The name of a missing value."""
    if value is None:
        return "None"
    if value is pandas.NA:
        return "NA"
    return "NaT" if value is pandas.NaT else "nan"
