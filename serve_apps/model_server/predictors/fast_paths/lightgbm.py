"""LightGBM's fast path: direct calls of its C interface.

The Python package makes the same calls, and builds their configuration anew each time.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Final

import lightgbm
import numpy as np
from lightgbm import basic
from numpy.typing import NDArray

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, Labels, both_classes, not_infinite, unchanged

_LIB: Final[Any] = getattr(basic, "_LIB")  # noqa: B009 - the package's own handle of its library; it exports no other
_FLOAT64: Final = 1  # C_API_DTYPE_FLOAT64
_NORMAL: Final = 0  # C_API_PREDICT_NORMAL
_ROW_MAJOR: Final = 1
_PARAMETERS: Final = ctypes.c_char_p(b"num_threads=1")
_FLOAT32_EXACT: Final = 2**24


def booster_path(booster: lightgbm.Booster) -> FastPath | None:
    """Path of a native booster; None for one with categories, which only the library can read."""
    if booster.pandas_categorical:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    return FastPath(_as_float64, _Booster(booster), unchanged, both_classes)


def estimator_path(model: lightgbm.LGBMModel) -> FastPath | None:
    """Path of a model of the scikit-learn API; None for a user's classes, objectives and prediction parameters.

    The library passes a model's ``pred_…`` parameters to its predictions. ``pred_early_stop``, for instance, stops adding trees
    to a row that seems decided, and the rows of the check at load may not seem so.
    """
    booster = model.booster_
    if any(name.startswith("pred_") for name in model.get_params()):
        return None
    if booster.pandas_categorical or callable(model.objective_):  # pyright: ignore[reportAttributeAccessIssue]
        return None
    if type(model) is lightgbm.LGBMClassifier:
        return FastPath(_as_float64, _Booster(booster), Labels(np.asarray(model.classes_), _label_indices), both_classes)
    if type(model) in (lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
        return FastPath(_as_float64, _Booster(booster), unchanged)
    return None


class _Booster:
    """Predicts on one thread, each row independently."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        self.booster = booster  # keeps the handle alive
        self.handle = booster._handle  # pyright: ignore[reportPrivateUsage]
        self.features = booster.num_feature()
        self.outputs = booster.num_model_per_iteration()
        self.iterations = int(booster.best_iteration)
        self.single = ctypes.c_void_p()
        _check(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                self.handle, _NORMAL, 0, self.iterations, _FLOAT64, ctypes.c_int32(self.features), _PARAMETERS,
                ctypes.byref(self.single),
            )
        )  # fmt: skip
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self.single).atexit = False

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        count = len(rows)
        answer = np.empty(count * self.outputs, dtype=np.float64)
        written = ctypes.c_int64(0)
        values, target = ctypes.c_void_p(rows.ctypes.data), ctypes.c_void_p(answer.ctypes.data)
        if count == 1:
            _check(_LIB.LGBM_BoosterPredictForMatSingleRowFast(self.single, values, ctypes.byref(written), target))
        else:
            _check(
                _LIB.LGBM_BoosterPredictForMat(
                    self.handle, values, _FLOAT64, ctypes.c_int32(count), ctypes.c_int32(self.features), _ROW_MAJOR, _NORMAL,
                    0, self.iterations, _PARAMETERS, ctypes.byref(written), target,
                )
            )  # fmt: skip
        return answer if self.outputs == 1 else answer.reshape(count, self.outputs)


def _label_indices(scores: NDArray[Any]) -> NDArray[Any]:
    return both_classes(scores).argmax(axis=1)


def _as_float64(rows: NDArray[Any]) -> NDArray[np.float64] | None:
    # The library reads an array of integers as float32 and a frame of them as float64: up to here both are equal.
    if rows.dtype.kind == "i" and not (rows.max() <= _FLOAT32_EXACT and rows.min() >= -_FLOAT32_EXACT):
        return None
    accepted = not_infinite(rows)
    return None if accepted is None else np.ascontiguousarray(accepted, dtype=np.float64)


def _check(status: int) -> None:
    if status != 0:
        raise lightgbm.basic.LightGBMError(_LIB.LGBM_GetLastError().decode())
