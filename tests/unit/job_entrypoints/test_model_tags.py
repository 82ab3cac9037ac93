from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from job_entrypoints.contract import TAG_AUTOLOGGED, TAG_MODEL_CLASS, TAG_MODEL_KIND
from job_entrypoints.tracking.model_tags import model_tags, tagged_models

GRID = {"C": [1.0]}


class Booster:
    """A model of a library other than scikit-learn."""


@pytest.mark.parametrize(
    ("model", "shown", "kind"),
    [
        (LinearRegression(), "LinearRegression", "predictor"),
        (PCA(), "PCA", "other"),
        (KMeans(), "KMeans", "other"),
        (IsolationForest(), "IsolationForest", "other"),
        (DummyClassifier(), "DummyClassifier", "baseline"),
        (RandomForestClassifier(), "RandomForestClassifier", "predictor"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Pipeline of LogisticRegression", "predictor"),
        (make_pipeline(StandardScaler(), PCA()), "Pipeline of PCA", "other"),
        (make_pipeline(StandardScaler(), DummyClassifier()), "Pipeline of DummyClassifier", "baseline"),
        (make_pipeline(StandardScaler(), "passthrough"), "Pipeline", "other"),
        (GridSearchCV(LogisticRegression(), GRID), "GridSearchCV of LogisticRegression", "predictor"),
        (GridSearchCV(LogisticRegression(), GRID, refit=False), "GridSearchCV of LogisticRegression", "other"),
        (Booster(), "Booster", "predictor"),
    ],
)
def test_model_is_tagged_with_its_class_and_kind(model: Any, shown: str, kind: str) -> None:
    assert model_tags(model, autologged=False) == {TAG_AUTOLOGGED: "false", TAG_MODEL_CLASS: shown, TAG_MODEL_KIND: kind}


def test_unknown_object_has_no_class_tag() -> None:
    assert model_tags(None, autologged=True) == {TAG_AUTOLOGGED: "true"}


def _log(**named: Any) -> dict[str, Any]:
    return named


def _safety(session: object) -> ModuleType:
    module = ModuleType("safety")
    module.__dict__["_AutologgingSessionManager"] = SimpleNamespace(active_session=lambda: session)
    return module


def test_tags_of_the_script_win() -> None:
    log = tagged_models(_log, lambda: None)
    assert log(xgb_model=Booster(), tags={TAG_MODEL_KIND: "mine", "a": "b"})["tags"] == {
        TAG_AUTOLOGGED: "false",
        TAG_MODEL_CLASS: "Booster",
        TAG_MODEL_KIND: "mine",
        "a": "b",
    }
    assert "tags" not in log(model=Booster(), model_id="m-1")


def test_autologged_models_are_marked() -> None:
    assert tagged_models(_log, lambda: _safety(object()))(sk_model=PCA())["tags"][TAG_AUTOLOGGED] == "true"
    assert tagged_models(_log, lambda: _safety(None))(sk_model=PCA())["tags"][TAG_AUTOLOGGED] == "false"


def test_object_with_broken_attributes_is_still_logged(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd(LogisticRegression):
        def __sklearn_tags__(self) -> Any:
            raise RuntimeError("not now")

    assert tagged_models(_log, lambda: None)(sk_model=Odd())["tags"] == {}
    assert "not described" in capsys.readouterr().err
