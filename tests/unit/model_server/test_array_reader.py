"""The fast reader of inputs gives the same array as the schema, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.fast_reader import ArrayReader, array_reader_of
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.signature import Column
from serve_apps.model_server.inputs.tabular import Columns, Rows, from_columns, from_records, from_rows

_TYPES = (ColumnType.DOUBLE, ColumnType.FLOAT, ColumnType.LONG, None)
_SCHEMAS: dict[str, Schema] = {
    **{str(kind): NamedColumns((Column("a", kind), Column("b", kind))) for kind in _TYPES},
    "array": PlainArray(None, (-1, 2)),
    "float32 array": PlainArray(np.dtype(np.float32), (-1, 2)),
    "int64 array": PlainArray(np.dtype(np.int64), (-1, 2)),
}
_VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=2),
    st.lists(st.integers(), max_size=1),
)
_MOSTLY = st.one_of(st.integers(-5, 5), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), _VALUES)


def _reader(schema: Schema) -> ArrayReader:
    reader = array_reader_of(schema, Features())
    assert reader is not None
    return reader


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("schema", _SCHEMAS.values(), ids=_SCHEMAS.keys())
@given(rows=st.lists(st.lists(_MOSTLY, min_size=1, max_size=3), min_size=1, max_size=4))
def test_fast_reader_agrees_with_the_schema(schema: Schema, rows: list[list[Any]]) -> None:
    array = _reader(schema).read(rows)
    if array is None:
        return
    batch: Any = schema.batch(from_rows(rows))
    # The library makes one float64 array of a frame of several types, as of numbers.
    wanted = np.asarray(batch, dtype=array.dtype)
    assert array.flags["C_CONTIGUOUS"]
    assert array.tobytes() == np.ascontiguousarray(wanted).tobytes()


@pytest.mark.parametrize("name", ["double", "long", "None"])
def test_columns_and_records_are_read_by_name(name: str) -> None:
    reader = _reader(_SCHEMAS[name])
    wanted = [[1, 2], [3, 4]]
    for inputs in ({"b": [2, 4], "a": [1, 3]}, [{"b": 2, "a": 1}, {"a": 3, "b": 4}], Columns({"b": [2, 4], "a": [1, 3]})):
        read = reader.read(inputs)
        assert read is not None
        assert read.tolist() == wanted
    assert reader.read(Rows(np.array(wanted))) is not None


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [[]],
        [[1.0]],
        [[1.0, 2.0, 3.0]],
        [[1.0, 2.0], [1.0]],
        [[1.0, None]],
        [[1.0, "2"]],
        [[True, False]],
        [[[1.0], [2.0]]],
        [1.0, 2.0],
        {"a": 1.0, "b": 2.0},
        {"a": [1.0], "b": [2.0, 3.0]},
        {"a": [1.0], "c": [2.0]},
        {"a": [1.0]},
        [{"a": 1.0, "b": 2.0}, {"a": 1.0}],
        [{"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}],
        [{"a": 1.0, "b": 2.0}, [1.0, 2.0]],
        "text",
        None,
        1,
    ],
)
def test_unusual_inputs_are_left_to_the_schema(inputs: Any) -> None:
    assert _reader(_SCHEMAS["double"]).read(inputs) is None


def test_fractions_are_not_read_as_integers() -> None:
    rows = [[1.5, 2.0]]
    assert _reader(_SCHEMAS["long"]).read(rows) is None
    with pytest.raises(WrongInputs):
        _SCHEMAS["long"].batch(from_rows(rows))


def test_library_gets_the_same_frame_as_from_the_schema() -> None:
    schema = _SCHEMAS["double"]
    reader = _reader(schema)
    records = [{"b": 2, "a": 1.5}]
    array = reader.read(records)
    assert array is not None
    frame: Any = reader.as_library_input(array)
    wanted: Any = schema.batch(from_records(records))
    assert frame.equals(wanted)
    assert frame.equals(schema.batch(from_columns({"a": 1.5, "b": 2})))


@pytest.mark.parametrize(
    "columns",
    [
        (Column("a", ColumnType.DOUBLE), Column("b", ColumnType.LONG)),
        (Column("a", ColumnType.STRING),),
        (Column("a", ColumnType.DOUBLE), Column("a", ColumnType.DOUBLE)),
    ],
)
def test_columns_of_several_types_give_no_array(columns: tuple[Column, ...]) -> None:
    assert array_reader_of(NamedColumns(columns), Features()) is None
