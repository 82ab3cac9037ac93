from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.array import NamedTensors, PlainArray
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.dataframe import NamedColumns, PlainColumns
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.schema import Anything, Origin, schema_of
from serve_apps.model_server.inputs.signature import Column, Signature, Tensor
from serve_apps.model_server.inputs.tabular import Columns, Raw, Rows, from_columns, from_rows

_PEOPLE = NamedColumns(
    (Column("age", ColumnType.LONG), Column("name", ColumnType.STRING), Column("score", ColumnType.DOUBLE, required=False))
)


def _fields(error: WrongInputs) -> dict[str, str]:
    return {entry.field: entry.detail for entry in error.errors}


def test_columns_are_found_by_name_in_any_order() -> None:
    frame = _PEOPLE.batch(Columns({"score": [1], "name": ["a"], "age": [3.0]}))
    assert list(frame.columns) == ["age", "name", "score"]
    assert frame.dtypes["age"] == np.int64
    assert frame.dtypes["score"] == np.float64
    assert frame.loc[0, "name"] == "a"


def test_rows_are_read_in_the_order_of_the_model() -> None:
    frame = _PEOPLE.batch(Rows([[3, "a", 0.5], [4, "b", None]]))
    assert frame["name"].tolist() == ["a", "b"]
    assert np.isnan(frame["score"][1])


def test_missing_and_unexpected_columns_are_named() -> None:
    with pytest.raises(WrongInputs) as raised:
        _PEOPLE.batch(Columns({"age": [1], "nmae": ["a"]}))
    assert _fields(raised.value) == {
        "inputs.name": "missing, wants string",
        "inputs.nmae": "unexpected, the model has no such column",
    }
    assert "Missing column: name. Unexpected column: nmae." in raised.value.detail
    assert "age (long), name (string), score (double, optional)" in raised.value.detail


def test_every_mistyped_column_is_named() -> None:
    with pytest.raises(WrongInputs) as raised:
        _PEOPLE.batch(Columns({"age": ["x"], "name": [1], "score": [1.0]}))
    assert _fields(raised.value) == {"inputs.age": 'wants integers; row 0 has "x"', "inputs.name": "wants text; row 0 has 1"}


def test_unexpected_columns_can_be_ignored() -> None:
    frame = _PEOPLE.batch(Columns({"age": [1], "name": ["a"], "more": [1]}), ignore_unexpected=True)
    assert list(frame.columns) == ["age", "name"]


def test_missing_optional_column_is_added() -> None:
    filling = NamedColumns(_PEOPLE.columns, fill_optional=True)
    frame = filling.batch(Columns({"age": [1, 2], "name": ["a", "b"]}))
    assert frame["score"].isna().tolist() == [True, True]


def test_wrong_number_of_values_names_the_columns() -> None:
    with pytest.raises(WrongInputs, match=r"The model wants 3 features \(age, name, score\), got 2\."):
        _PEOPLE.batch(Rows([[1, "a"]]))


def test_columns_of_one_type_make_one_block() -> None:
    doubles = NamedColumns((Column("a", ColumnType.DOUBLE), Column("b", ColumnType.DOUBLE)))
    frame = doubles.batch(Columns({"b": [2, 4], "a": [1, 3]}))
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"a": [1.0, 3.0], "b": [2.0, 4.0]}))


@pytest.mark.parametrize("inputs", [Rows([]), Columns({}), Columns({"a": []}), Rows(np.empty((0, 2)))])
@pytest.mark.parametrize(
    "schema", [_PEOPLE, PlainArray(None, (-1, 2)), Anything(), NamedTensors((Tensor("a", "float64", (-1,)),))]
)
def test_no_rows_are_refused(schema: Any, inputs: Any) -> None:
    with pytest.raises(WrongInputs, match="no rows"):
        schema.batch(inputs)


class TestPlainArray:
    def test_columns_are_read_in_the_given_order(self) -> None:
        batch = PlainArray(None, (-1, 2)).batch(Columns({"feature_1": [1, 3], "feature_0": [2, 4]}))
        np.testing.assert_array_equal(batch, [[1.0, 2.0], [3.0, 4.0]])
        assert batch.dtype == np.float64

    def test_number_of_features_is_checked(self) -> None:
        with pytest.raises(WrongInputs, match="The model wants 20 features, got 2"):
            PlainArray(None, (-1, 20)).batch(Columns({"a": [1], "b": [2]}))
        with pytest.raises(WrongInputs, match="The model wants 20 features, got 3"):
            PlainArray(np.dtype("float64"), (-1, 20)).batch(Rows([[1, 2, 3]]))

    def test_null_is_nan(self) -> None:
        batch = PlainArray(None, (-1, 2)).batch(Rows([[1, None], [None, 2.5]]))
        np.testing.assert_array_equal(batch, [[1, np.nan], [np.nan, 2.5]])

    def test_text_becomes_objects_without_a_schema(self) -> None:
        batch = PlainArray(None, (-1, 2)).batch(Rows([[1, "a"], [2, "b"]]))
        assert batch.tolist() == [[1.0, "a"], [2.0, "b"]]

    def test_text_is_refused_for_a_numeric_model(self) -> None:
        with pytest.raises(WrongInputs) as raised:
            PlainArray(np.dtype("float64"), (-1, 2)).batch(Rows([[1, "a"]]))
        assert _fields(raised.value) == {"inputs[*][1]": 'wants numbers; row 0 has "a"'}

    def test_deeper_arrays_keep_their_shape(self) -> None:
        schema = PlainArray(np.dtype("float32"), (-1, 2, 2))
        assert schema.batch(Rows([[[1, 2], [3, 4]]])).shape == (1, 2, 2)
        with pytest.raises(WrongInputs, match=r"wants the shape \[-1, 2, 2\], got \[1, 2\]"):
            schema.batch(Rows([[1, 2]]))

    def test_single_feature_may_be_a_flat_array(self) -> None:
        assert PlainArray(None, (-1, 1)).batch(Rows(np.array([1, 2, 3]))).shape == (3, 1)


def test_unnamed_columns_are_read_by_position() -> None:
    schema = PlainColumns((Column(None, ColumnType.LONG), Column(None, ColumnType.STRING)))
    frame = schema.batch(Columns({"x": [1], "y": ["a"]}))
    assert list(frame.columns) == [0, 1]
    with pytest.raises(WrongInputs, match="wants 2 features, got 1"):
        schema.batch(Columns({"x": [1]}))


def test_named_tensors_are_checked_by_name_shape_and_type() -> None:
    schema = NamedTensors((Tensor("image", "float32", (-1, 2)), Tensor("id", "int64", (-1,))))
    batch = schema.batch(Columns({"image": [[1, 2]], "id": [7]}))
    assert batch["image"].dtype == np.float32
    with pytest.raises(WrongInputs) as raised:
        schema.batch(Columns({"image": [[1, 2]], "mask": [7]}))
    assert _fields(raised.value) == {"inputs.id": "missing", "inputs.mask": "unexpected, the model has no such tensor"}
    with pytest.raises(WrongInputs, match=r"wants shape \[-1, 2\], got \[1, 3\]"):
        schema.batch(Columns({"image": [[1, 2, 3]], "id": [7]}))


class TestInputs:
    def test_single_values_are_one_row(self) -> None:
        assert len(from_columns({"a": 1, "b": "x"})) == 1

    def test_unequal_columns_are_named(self) -> None:
        with pytest.raises(WrongInputs, match="a has 2, b has 1") as raised:
            from_columns({"a": [1, 2], "b": [1]})
        assert _fields(raised.value) == {"inputs.a": "2 values", "inputs.b": "1 values"}

    def test_lists_and_single_values_do_not_mix(self) -> None:
        with pytest.raises(WrongInputs) as raised:
            from_columns({"a": [1, 2], "b": 1})
        assert list(_fields(raised.value)) == ["inputs.b"]

    def test_flat_list_is_refused_with_the_expected_form(self) -> None:
        with pytest.raises(WrongInputs, match=r"a list of rows is wanted. Write one row as \[\[…, …\]\]"):
            from_rows([1.0, 2.0])

    @pytest.mark.parametrize("rows", [[[1, 2], [3]], [[1, 2], 3]])
    def test_ragged_rows_are_named(self, rows: list[Any]) -> None:
        with pytest.raises(WrongInputs) as raised:
            from_rows(rows)
        assert list(_fields(raised.value)) == ["inputs[1]"]


class TestChoice:
    """The schema of a model, from its signature and its recorded feature names."""

    def test_signature_with_names_wins_over_the_model_s_names(self) -> None:
        schema, _ = schema_of(Signature(columns=_PEOPLE.columns), Features(count=3), is_native=True)
        assert isinstance(schema, NamedColumns)
        assert schema.fill_optional

    def test_names_of_the_training_frame_are_used_without_a_signature(self) -> None:
        schema, _ = schema_of(None, Features(("a", "b"), 2), is_native=True)
        assert [(column.name, column.type) for column in schema.columns] == [("a", None), ("b", None)]

    def test_names_of_the_frame_are_used_with_a_tensor_signature(self) -> None:
        schema, _ = schema_of(Signature(tensors=(Tensor(None, "float64", (-1, 2)),)), Features(("a", "b"), 2), is_native=True)
        assert isinstance(schema, NamedColumns)

    def test_model_of_an_array_without_a_signature_takes_arrays(self) -> None:
        assert schema_of(None, Features(count=4), is_native=True) == (PlainArray(None, (-1, 4)), Origin("model"))

    def test_function_without_a_signature_takes_anything(self) -> None:
        schema, _ = schema_of(None, Features(), is_native=False)
        assert isinstance(schema, Anything)
        assert schema.batch(Rows([[1, 2]])).tolist() == [[1, 2]]
        assert schema.batch(Columns({"a": [1]})).to_dict("list") == {"a": [1]}

    def test_type_hint_without_columns_takes_anything(self) -> None:
        schema, _ = schema_of(Signature(from_type_hint=True), Features(), is_native=False)
        assert schema.batch(Raw(["x"])) == ["x"]
