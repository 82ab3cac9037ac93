"""XGBoost's fast path: direct calls of its C interface.

The Python package makes the same call (``Booster.inplace_predict``) after checks for a dozen kinds of frames.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from xgboost import core

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, both_classes, not_infinite, unchanged

_LIB: Final[Any] = getattr(core, "_LIB")  # noqa: B009 - the package's own handle of its library; it exports no other
_TREES: Final = ("gbtree", "dart")


def booster_path(booster: xgboost.Booster, classes: int | None) -> FastPath | None:
    """Path of a native booster. ``classes``: number of classes with probabilities, None without probabilities."""
    if not _is_plain(booster):
        return None
    return FastPath(_contiguous, _Booster(booster, (0, 0)), unchanged, None if classes is None else _both_classes_in_float64)


def estimator_path(model: Any) -> FastPath | None:
    """Path of a model of the scikit-learn API; None for subclasses, several labels for a row, and softmax objectives."""
    booster: xgboost.Booster = model.get_booster()
    if not (_is_plain(booster) and isinstance(model.missing, float) and math.isnan(model.missing)):
        return None
    scores = _Booster(booster, model._get_iteration_range(None))
    if type(model) in (xgboost.XGBRegressor, xgboost.XGBRFRegressor):
        return FastPath(_contiguous, scores, unchanged)
    if type(model) in (xgboost.XGBClassifier, xgboost.XGBRFClassifier) and model.objective in _LABELS:
        return FastPath(_contiguous, scores, _LABELS[model.objective], both_classes)
    return None


class _Booster:
    def __init__(self, booster: xgboost.Booster, iterations: tuple[int, int]) -> None:
        self.booster = booster  # keeps the handle alive
        self.handle = booster.handle
        self.arguments = core.make_jcargs(
            type=0,
            training=False,
            iteration_begin=int(iterations[0]),
            iteration_end=int(iterations[1]),
            missing=math.nan,
            strict_shape=False,
            cache_id=0,
        )

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        values = ctypes.POINTER(ctypes.c_float)()
        interface = b'{"data":[%d,true],"shape":[%d,%d],"strides":null,"typestr":"<%c%d","version":3}' % (
            rows.ctypes.data,
            *rows.shape,
            rows.dtype.kind.encode(),
            rows.itemsize,
        )
        status = _LIB.XGBoosterPredictFromDense(
            self.handle,
            interface,
            self.arguments,
            ctypes.c_void_p(),
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(values),
        )
        if status != 0:
            raise core.XGBoostError(_LIB.XGBGetLastError().decode())
        # The result is in the library's memory, which its next prediction in this thread overwrites.
        return np.ctypeslib.as_array(values, tuple(shape[: dimensions.value])).copy()


def _is_plain(booster: xgboost.Booster) -> bool:
    """Tell whether a booster has only trees and numeric features."""
    kind = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"]
    return kind in _TREES and "c" not in (booster.feature_types or ())


def _contiguous(rows: NDArray[Any]) -> NDArray[Any] | None:
    """Rows in their own type: the library converts them to float32, and a step between could round twice."""
    accepted = not_infinite(rows)
    return None if accepted is None else np.ascontiguousarray(accepted)


def _binary(scores: NDArray[Any]) -> NDArray[Any]:
    return (scores > 0.5).astype(np.int64)


def _highest(scores: NDArray[Any]) -> NDArray[Any]:
    return scores.argmax(axis=1)


def _both_classes_in_float64(scores: NDArray[Any]) -> NDArray[Any]:
    return scores if scores.ndim == 2 else both_classes(scores.astype(np.float64))


_LABELS: Final[dict[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {"binary:logistic": _binary, "multi:softprob": _highest}
