"""Errors of Python functions: those of the inputs, and the words of them that reach a client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from serve_apps.model_server.errors import describe_error
from serve_apps.model_server.predictors.pyfunc_errors import refusal

_FRAME = pd.DataFrame({"price": [10.0]})
_ROWS = np.array([[10.0, "sale"]], dtype=object)


def _raised(code: str, x: Any) -> Exception:
    try:
        exec(code, {"x": x})
    except Exception as error:  # noqa: BLE001 - any of them is what is wanted
        return error
    raise AssertionError(code)


class _Evaluation(Exception):
    """As patsy raises for a formula that cannot be evaluated."""


def _of_formula() -> Exception:
    error = _Evaluation("Error evaluating factor")
    error.__cause__ = _raised("promo", None)
    return error


@pytest.mark.parametrize("code", ['x["price"]', "x.iterrows()", "x.price", "x.columns"])
def test_rows_for_a_model_of_columns_are_refused_with_a_hint(code: str) -> None:
    refused = refusal(_raised(code, _ROWS), _ROWS, is_of_library=False)
    assert refused is not None
    assert "wants its columns by name" in refused.detail


@pytest.mark.parametrize("code", ['x["promo"]', 'x[["price", "promo"]]', "x.promo"])
def test_missing_column_is_named(code: str) -> None:
    refused = refusal(_raised(code, _FRAME), _FRAME, is_of_library=False)
    assert refused is not None
    assert "It asks for promo, which is none of their columns (price)" in refused.detail
    assert refused.errors[0].field == "inputs.promo"


def test_missing_name_of_a_formula_is_a_missing_column() -> None:
    by_name, by_row = refusal(_of_formula(), _FRAME, is_of_library=True), refusal(_of_formula(), _ROWS, is_of_library=True)
    assert by_name is not None
    assert "It asks for promo" in by_name.detail
    assert by_row is not None
    assert "columns by name" in by_row.detail


@pytest.mark.parametrize(
    "code", ["undefined_name", "1 / 0", "x.dtype", 'x.append("y")', '{"Oslo": 1}["Rome"]', 'raise OSError("disk")']
)
def test_failure_of_a_function_is_not_blamed_on_the_inputs(code: str) -> None:
    assert refusal(_raised(code, _FRAME), _FRAME, is_of_library=False) is None


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x3 and 4x2)"), True),
        (_Evaluation("Invalid type for cat_feature[0]=1.5"), True),
        (NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Long'"), True),
        (NotImplementedError("no GPU kernel"), False),
        (AssertionError("the input must have 4 features"), True),
        (AssertionError(), True),
        (RuntimeError("CUDA out of memory while allocating input"), False),
        (RuntimeError("the disk is full"), False),
        (MemoryError("Unable to allocate an array with shape (9, 9)"), False),
        (OSError("No such file"), False),
    ],
)
def test_library_errors_are_blamed_on_inputs_unless_it_is_broken(error: Exception, is_refusal: bool) -> None:
    assert (refusal(error, np.zeros((1, 3)), is_of_library=True) is not None) == is_refusal


def _of_numpy_within(function: str) -> Exception:
    """An error that NumPy's own code raises below a function of the user."""
    return _raised(f"import numpy as np\n{function}", None)


def test_shape_refused_by_a_library_below_is_an_input_error() -> None:
    error = _of_numpy_within("np.linalg.inv(np.zeros((2, 3)))")
    assert refusal(error, np.zeros((2, 3)), is_of_library=False) is not None


def test_error_of_a_function_s_own_code_is_a_model_error() -> None:
    assert refusal(_raised('raise RuntimeError("wrong shape")', None), np.zeros((2, 3)), is_of_library=False) is None


@pytest.mark.parametrize(
    ("batch", "hint"),
    [(np.zeros((1, 3)), "Send columns by name"), (_FRAME, "Log it with one: mlflow.models.infer_signature")],
)
def test_refusal_without_a_signature_says_what_to_do(batch: Any, hint: str) -> None:
    error = RuntimeError("mat1 and mat2 must have the same dtype, but got Double and Float")
    refused = refusal(error, batch, is_of_library=True, has_signature=False)
    assert refused is not None
    assert hint in refused.detail
    assert "signature" in refused.detail
    with_one = refusal(error, batch, is_of_library=True, has_signature=True)
    assert with_one is not None
    assert "signature" not in with_one.detail


def test_listed_error_types_are_refusals() -> None:
    refused = refusal(ValueError("no"), np.zeros((1, 3)), is_of_library=False, has_signature=False, refusals=(ValueError,))
    assert refused is not None
    assert "Send columns by name" in refused.detail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ValueError("[12:00:01] /workspace/src/data.cc:123: Check failed: a == b\nStack trace:\n  [bt] (0) /x/y.so"),
            "Check failed: a == b",
        ),
        (ValueError("catboost/libs/data/model.cpp:17: Feature price is missing"), "Feature price is missing"),
        (ValueError("bad\nException raised from f at /src/a.cpp:1 (most recent call first):\nframe #0: g"), "bad"),
        (ValueError("No such file: '/tmp/raylift-model-ab/model/data/table.csv'"), "No such file: 'table.csv'"),
        (
            ValueError("see https://mlflow.org/docs/a.html, 1/2"),
            "see https://mlflow.org/docs/a.html, 1/2",
        ),
        (KeyError("promo"), "promo"),
        (
            ValueError(
                "Graph execution error:\n\nDetected at node a/Add defined at (most recent call last):\n"
                '  File "threading.py", line 1002, in _bootstrap\n\n  File "b.py", line 1, in c\n\n'
                "Matrix size-incompatible: In[0]: [1,2]\n\t [[{{node a}}]]"
            ),
            "Matrix size-incompatible: In[0]: [1,2] [[{{node a}}]]",
        ),
    ],
)
def test_library_messages_are_shown_without_traces_and_paths(error: Exception, words: str) -> None:
    assert describe_error(error) == f"{type(error).__name__}: {words}"
