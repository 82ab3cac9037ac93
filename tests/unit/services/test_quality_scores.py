"""Quality of probabilities, as scikit-learn measures it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from raylift.domain.models.quality import Quality
from raylift.services.models.quality_scores import scored_of, with_scores

ANSWER: dict[str, Any] = {"predictions": ["a", "b"], "probabilities": [[0.9, 0.1], [0.2, 0.8]], "classes": ["a", "b"]}


def test_probabilities_are_joined_with_true_values() -> None:
    assert scored_of(ANSWER, ["b", "b"]) == [(0.1, True), (0.8, True)]
    assert scored_of(ANSWER, ["a", None]) == [(0.1, False), None]


@pytest.mark.parametrize(
    ("answer", "truth"),
    [({"predictions": [1]}, 1), (ANSWER, "a"), (ANSWER | {"classes": ["a", "b", "c"]}, ["a", "b"]), ("text", 1)],
)
def test_other_answers_have_no_scores(answer: Any, truth: Any) -> None:
    assert scored_of(answer, truth) == []


def test_scores_have_scikit_learns_figures() -> None:
    random = np.random.default_rng(0)
    scores = random.random(500)
    truth = random.random(500) < scores
    quality = with_scores(Quality(500, accuracy=0.7), list(zip(scores.tolist(), truth.tolist(), strict=True)))
    assert quality.auc == roc_auc_score(truth, scores)
    assert quality.log_loss == pytest.approx(log_loss(truth, scores), rel=1e-12)
    losses = [log_loss([true], [score], labels=[False, True]) for true, score in zip(truth, scores, strict=True)]
    interval = stats.norm.interval(0.95, loc=np.mean(losses), scale=stats.sem(losses))
    assert (quality.log_loss_low, quality.log_loss_high) == pytest.approx(interval, rel=1e-9)
    assert 0 < (quality.calibration_error_low or 0) <= (quality.calibration_error_high or 0) < 0.15
    assert (quality.auc_low or 1) < (quality.auc or 0) < (quality.auc_high or 0)
    # The probabilities are right: calibrated but for chance. Exaggerated ones are not.
    assert (quality.calibration_error or 1) < 0.06
    exaggerated = with_scores(
        Quality(500), [(float(score > 0.5), bool(true)) for score, true in zip(scores, truth, strict=True)]
    )
    assert (exaggerated.calibration_error or 0) > 0.15


def test_certain_and_wrong_probability_has_scikit_learns_loss() -> None:
    scored = [(0.0, True), (1.0, False), (1.0, True)]
    expected = log_loss([True, False, True], [0.0, 1.0, 1.0])
    assert with_scores(Quality(3), scored).log_loss == pytest.approx(expected, rel=1e-12)


def test_one_class_alone_says_nothing() -> None:
    assert with_scores(Quality(2), [(0.1, True), (0.9, True)]) == Quality(2)
