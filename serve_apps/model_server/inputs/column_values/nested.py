"""Converts values of arrays, maps and objects to the types of a signature, without loss.

MLflow itself refuses an integer where it wants floating point, and JSON writers write integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.column_type import NUMPY_DTYPES
from serve_apps.model_server.inputs.values import (
    Mistyped,
    Values,
    describe_value,
    is_missing,
    to_dtype,
    to_objects,
    to_texts,
)

_NARROW: Final = frozenset({"integer", "float"})
"""Types that MLflow wants as NumPy's: it refuses Python's wider ones."""


def nested_column(values: Values, spec: Mapping[str, Any] | None) -> NDArray[Any]:
    """A column of lists and objects; unchanged if the signature does not describe them.

    Raises:
        Mistyped: A value in a row is of another type.
    """
    objects = to_objects(values)
    if spec is not None:
        for row, value in enumerate(objects):
            try:
                objects[row] = nested_value(value, spec)
            except Mistyped as error:
                raise Mistyped(f"{error}, in row {row}") from None
    return objects


def nested_value(value: Any, spec: Mapping[str, Any]) -> Any:
    """The value with every number in the type of ``spec``. Missing values stay: MLflow checks where they may be.

    Raises:
        Mistyped: A value in it is of another type.
    """
    if is_missing(value):
        return None
    match spec["type"]:
        case "array":
            if not isinstance(value, (list, tuple, np.ndarray)):
                raise Mistyped(f"wants a list; it has {describe_value(value)}")
            return [nested_value(item, spec["items"]) for item in value]
        case "map":
            return {name: nested_value(item, spec["values"]) for name, item in _object(value).items()}
        case "object":
            return {name: _property(item, spec["properties"].get(name)) for name, item in _object(value).items()}
        case name:
            return _leaf(value, name)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Mistyped(f"wants an object; it has {describe_value(value)}")
    return value


def _property(value: Any, spec: Mapping[str, Any] | None) -> Any:
    return value if spec is None else nested_value(value, spec)


def _leaf(value: Any, name: str) -> Any:
    if name == "string":
        wants, converted = "text", _or_none(to_texts, value)
    elif name in NUMPY_DTYPES:
        wants, converted = f"{name} values", _or_none(lambda values: to_dtype(values, NUMPY_DTYPES[name]), value)
    else:
        return value
    if converted is None:
        raise Mistyped(f"wants {wants} in it; it has {describe_value(value)}")
    return converted if name in _NARROW or not isinstance(converted, np.generic) else converted.item()


def _or_none(convert: Callable[[list[Any]], NDArray[Any]], value: Any) -> Any:
    try:
        return convert([value])[0]
    except Mistyped:
        return None
