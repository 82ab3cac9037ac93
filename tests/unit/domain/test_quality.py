"""Answers of every protocol joined with true values, and their quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from raylift.domain.models.quality import is_numeric, pairs_of, quality_of


@pytest.mark.parametrize(
    "answer",
    [
        {"model_name": "m", "predictions": [1, 0]},
        {"outputs": [{"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 0]}]},
    ],
)
def test_answers_of_every_protocol_are_joined(answer: Any) -> None:
    assert pairs_of(answer, [1, 1]) == [(1, 1), (0, 1)]


@pytest.mark.parametrize(
    ("answer", "truth"), [({"predictions": [1, 0]}, 1), ({"error": "x"}, 1), ([1], 1), ({"outputs": []}, 1)]
)
def test_answers_that_do_not_fit_the_true_values_are_left_out(answer: Any, truth: Any) -> None:
    assert pairs_of(answer, truth) == []


def test_classes_have_an_accuracy() -> None:
    pairs = [(1, 1), (0, 1), ("yes", "yes"), (1, "1")]
    assert not is_numeric(pairs)
    quality = quality_of(pairs, numeric=False)
    assert (quality.rows, quality.accuracy, quality.rmse) == (4, 0.75, None)


def test_numbers_have_an_error_in_their_unit() -> None:
    pairs = [(1.5, 1), (3.0, 7), (2.0, None), ("x", 1)]
    assert is_numeric(pairs)
    quality = quality_of(pairs, numeric=True)
    assert (quality.rows, quality.accuracy, quality.mae) == (2, None, 2.25)
    assert quality.rmse == pytest.approx(((0.5**2 + 4**2) / 2) ** 0.5)


def test_nothing_known_has_no_quality() -> None:
    assert quality_of([], numeric=False).accuracy is None
    assert quality_of([], numeric=True).rmse is None


def test_intervals_become_narrower_with_more_rows() -> None:
    few, many = (quality_of([(1, 1)] * (4 * n) + [(0, 1)] * n, numeric=False) for n in (2, 200))
    for quality in (few, many):
        assert quality.accuracy == 0.8
        assert 0 < (quality.accuracy_low or 0) < 0.8 < (quality.accuracy_high or 0) < 1
    assert (many.accuracy_low or 0) > (few.accuracy_low or 0)
    number = quality_of([(1.5, 1.0), (2.0, 1.5), (3.0, 1.0)] * 50, numeric=True)
    assert (number.rmse_low or 0) < (number.rmse or 0) < (number.rmse_high or 0)


def test_interval_of_an_accuracy_is_wilsons() -> None:
    quality = quality_of([(1, 1)] * 83 + [(0, 1)] * 17, numeric=False)
    wilson = stats.binomtest(83, 100).proportion_ci(0.95, method="wilson")
    assert (quality.accuracy_low, quality.accuracy_high) == pytest.approx((wilson.low, wilson.high), rel=1e-12)


def test_errors_and_their_interval_are_those_of_the_libraries() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=300)
    predicted = truth + random.normal(size=300)
    quality = quality_of(list(zip(predicted.tolist(), truth.tolist(), strict=True)), numeric=True)
    assert quality.rmse == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-12)
    assert quality.mae == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-12)
    squares = (predicted - truth) ** 2
    low, high = stats.norm.interval(0.95, loc=squares.mean(), scale=stats.sem(squares))
    assert (quality.rmse_low, quality.rmse_high) == pytest.approx((low**0.5, high**0.5), rel=1e-12)
