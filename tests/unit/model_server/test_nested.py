"""Values in arrays, maps and objects, as MLflow enforces them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve_apps.model_server.inputs.column_values.nested import nested_column
from serve_apps.model_server.inputs.values import Mistyped

DOUBLES = {"type": "array", "items": {"type": "double"}}
BAG = {"type": "map", "values": {"type": "double"}}
POINT = {"type": "object", "properties": {"x": {"type": "float"}, "tags": {"type": "array", "items": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        (DOUBLES, [1, 2.5], [1.0, 2.5]),
        (DOUBLES, [1, None], [1.0, None]),
        (BAG, {"a": 2}, {"a": 2.0}),
        (POINT, {"x": 1, "tags": ["a"]}, {"x": np.float32(1), "tags": ["a"]}),
        ({"type": "array", "items": DOUBLES}, [[1], []], [[1.0], []]),
        (None, [1, "a"], [1, "a"]),
    ],
)
def test_whole_numbers_get_the_type_of_the_signature(spec: Any, value: Any, expected: Any) -> None:
    (converted,) = nested_column([value], spec)
    assert repr(converted) == repr(expected)


@pytest.mark.parametrize(
    ("spec", "value", "said"),
    [
        (DOUBLES, ["x"], 'wants double values in it; it has "x", in row 0'),
        (DOUBLES, 1.0, "wants a list; it has 1.0"),
        (BAG, [1.0], "wants an object; it has a list"),
        (POINT, {"x": 1, "tags": [1]}, "wants text in it; it has 1"),
    ],
)
def test_value_of_another_type_is_refused(spec: Any, value: Any, said: str) -> None:
    with pytest.raises(Mistyped, match=said):
        nested_column([value], spec)
