"""Models of texts, dictionaries, Series and lists are recognised. A model that can answer nothing says so when it loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import sklearn
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, StackingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.predictors.cannot_answer import CannotAnswer
from serve_apps.model_server.server.asgi import ReplicaApp
from tests.integration.model_server.replicas import Replica

save_model: Callable[..., None] = sklearn.save_model

_TEXTS = ["good fine", "bad awful", "nice good", "awful poor", "fine", "poor bad"] * 5
_MOODS = ["pos", "neg", "pos", "neg", "pos", "neg"] * 5
_ASKED = ["good nice", "awful"]
_RIDES: list[dict[str, Any]] = [
    {"route": f"{index % 4}_{index % 3}", "distance": float(index % 7 + 1), "tags": ["a", "b"][: index % 3]}
    for index in range(60)
]
_PRICES = [3 * ride["distance"] + 20 * (ride["route"][0] == "1") + len(ride["tags"]) for ride in _RIDES]
_TOKENS = [text.split() for text in _TEXTS]


class Lower(BaseEstimator, TransformerMixin):
    """A typical cleaner of texts, as a transformer."""

    def fit(self, X: Any, y: Any = None) -> Lower:  # noqa: N803
        return self

    def transform(self, X: Any) -> list[str]:  # noqa: N803
        return [text.lower() for text in X]


class Lengths(BaseEstimator, TransformerMixin):
    """A cleaner of a pandas Series of texts."""

    def fit(self, X: Any, y: Any = None) -> Lengths:  # noqa: N803
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return np.c_[X.str.len(), X.str.count("o")]


class Field(BaseEstimator, TransformerMixin):
    """Selects a column of a frame, or a key of dictionaries."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def fit(self, X: Any, y: Any = None) -> Field:  # noqa: N803
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return X[self.name] if isinstance(X, pd.DataFrame) else [record[self.name] for record in X]


def _same(token: Any) -> Any:
    return token


def _lengths(texts: Any) -> Any:
    return texts.str.len().to_frame()


def _replica(directory: Path, name: str, model: Any, **options: Any) -> Replica:
    """A replica of a model that MLflow saved."""
    save_model(model, str(directory / name), serialization_format="cloudpickle", pip_requirements=[], **options)
    loaded = load_directory(name, "1", directory / name)
    return Replica(loaded, ReplicaApp(loaded))


def _words(vectorizer: Any = None) -> Any:
    return make_pipeline(vectorizer or TfidfVectorizer(), LogisticRegression())


_OF_TEXTS: dict[str, Any] = {
    "pipeline": _words(),
    "search": GridSearchCV(_words(), {"logisticregression__C": [1, 10]}, cv=2),
    "hashing": _words(HashingVectorizer(n_features=64)),
    "characters": _words(CountVectorizer(analyzer="char")),
    "function for tokens": _words(TfidfVectorizer(tokenizer=str.split, token_pattern=None)),
    "union": make_pipeline(FeatureUnion([("w", TfidfVectorizer()), ("c", CountVectorizer(analyzer="char"))]), MultinomialNB()),
    "calibrated": CalibratedClassifierCV(_words(), cv=2),
    "stack": StackingClassifier([("a", _words()), ("b", _words(CountVectorizer()))], LogisticRegression(), cv=2),
    "one against the rest": OneVsRestClassifier(_words()),
    "search around a wrapper": GridSearchCV(OneVsRestClassifier(_words()), {"estimator__logisticregression__C": [1, 2]}, cv=2),
    "nested": make_pipeline(make_pipeline(TfidfVectorizer()), LogisticRegression()),
    "cleaned first": make_pipeline(Lower(), TfidfVectorizer(), LogisticRegression()),
    "passed through first": make_pipeline("passthrough", TfidfVectorizer(), LogisticRegression()),
}


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("name", _OF_TEXTS)
def test_text_models_are_recognised_at_any_vectorizer_position(tmp_path: Path, name: str, is_signed: bool) -> None:
    model = _OF_TEXTS[name].fit(_TEXTS, _MOODS)
    options = {"signature": infer_signature(_TEXTS[:5], _MOODS[:5])} if is_signed else {}
    replica = _replica(tmp_path, f"texts-{name.replace(' ', '-')}-{is_signed}", model, **options)
    expected = model.predict(_ASKED).tolist()
    forms = ([["good nice"], ["awful"]], _ASKED, {"text": _ASKED}, [{"text": text} for text in _ASKED])
    assert [replica.predicted(form)["predictions"] for form in forms] == [expected] * 4
    if hasattr(model, "predict_proba"):
        probabilities = replica.predicted(_ASKED, return_probabilities=True)["probabilities"]
        assert probabilities == model.predict_proba(_ASKED).tolist()
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": _ASKED}
    assert replica.post("/infer", {"inputs": [tensor]}).json()["outputs"][0]["data"] == expected
    assert replica.post("/v1:predict", {"instances": _ASKED}).json()["predictions"] == expected
    assert replica.post("/invocations", {"inputs": _ASKED}).json()["predictions"] == expected
    csv = replica.request("POST", "/predict", content=b"text\ngood nice\nawful\n", headers={"content-type": "text/csv"})
    assert csv.json()["predictions"] == expected
    for wrong in ([None], [1], [["a", "b"]], {"a": ["x"], "b": ["y"]}):
        assert replica.predict(wrong).status_code == 422
    assert replica.get("").status_code == 200
    content = replica.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert (content.keys(), "example" in content["application/json"]) == ({"application/json", "text/csv"}, True)


def test_models_fitted_on_text_arrays_and_series_take_texts(tmp_path: Path) -> None:
    model = _words().fit(_TEXTS, _MOODS)
    array = _replica(tmp_path, "texts-of-an-array", model, signature=infer_signature(np.array(_TEXTS)))
    named = _replica(tmp_path, "texts-of-a-series", model, signature=infer_signature(pd.Series(_TEXTS, name="review")))
    expected = model.predict(_ASKED).tolist()
    for replica in (array, named):
        assert replica.predicted(_ASKED)["predictions"] == expected
        assert replica.predicted({"review": _ASKED})["predictions"] == expected
    assert named.predict({"text": _ASKED}).status_code == 422


def test_column_selector_for_text_takes_a_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": _TEXTS, "stars": np.arange(30) % 5})
    prepared = ColumnTransformer([("t", TfidfVectorizer(), "text"), ("s", StandardScaler(), ["stars"])])
    model: Any = make_pipeline(prepared, LogisticRegression()).fit(frame, _MOODS)
    asked = {"stars": [1, 4], "text": _ASKED}
    expected = model.predict(pd.DataFrame(asked)[["text", "stars"]]).tolist()
    for name, options in (("column", {}), ("column-signed", {"signature": infer_signature(frame)})):
        assert _replica(tmp_path, name, model, **options).predicted(asked)["predictions"] == expected


@pytest.mark.parametrize("is_signed", [False, True])
def test_frame_selectors_take_a_frame(tmp_path: Path, is_signed: bool) -> None:
    frame = pd.DataFrame({"title": _TEXTS, "body": _TEXTS[::-1]})
    union = FeatureUnion([(name, make_pipeline(Field(name), TfidfVectorizer())) for name in frame])
    model: Any = make_pipeline(union, LogisticRegression()).fit(frame, _MOODS)
    replica = _replica(tmp_path, f"selectors-{is_signed}", model, signature=infer_signature(frame) if is_signed else None)
    if is_signed:
        asked = {"body": ["poor", "fine"], "title": _ASKED}
        assert replica.predicted(asked)["predictions"] == model.predict(pd.DataFrame(asked)).tolist()
        assert replica.predict({"title": _ASKED}).status_code == 422


_OF_RECORDS: dict[str, Any] = {
    "pipeline": make_pipeline(DictVectorizer(), LinearRegression()),
    "search": GridSearchCV(make_pipeline(DictVectorizer(), Ridge()), {"ridge__alpha": [0.1, 1]}, cv=2),
    "target": TransformedTargetRegressor(make_pipeline(DictVectorizer(), Ridge()), func=np.log1p, inverse_func=np.expm1),
    "union": make_pipeline(FeatureUnion([("d", DictVectorizer()), ("h", FeatureHasher(16))]), Ridge()),
    "hasher": make_pipeline(FeatureHasher(32), Ridge()),
}


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("name", _OF_RECORDS)
def test_dictionary_models_are_recognised_at_any_position(tmp_path: Path, name: str, is_signed: bool) -> None:
    rides = [{key: value for key, value in ride.items() if key != "tags"} for ride in _RIDES]
    model = _OF_RECORDS[name].fit(rides, _PRICES)
    replica = _replica(
        tmp_path, f"records-{name}-{is_signed}", model, signature=infer_signature(rides[:5]) if is_signed else None
    )
    asked: list[dict[str, Any]] = [{"route": "1_2", "distance": 10}, {"route": "0_0", "distance": 2.5}]
    expected = pytest.approx(model.predict(asked).tolist(), rel=1e-12)
    columns = {"route": ["1_2", "0_0"], "distance": [10, 2.5]}
    assert replica.predicted(asked)["predictions"] == expected
    assert replica.predicted(columns)["predictions"] == expected
    assert replica.post("/v1:predict", {"instances": asked}).json()["predictions"] == expected
    assert replica.post("/invocations", {"dataframe_records": asked}).json()["predictions"] == expected
    content = b"distance,route\n10,1_2\n2.5,0_0\n"
    for route in ("/predict", "/invocations"):
        csv = replica.request("POST", route, content=content, headers={"content-type": "text/csv"})
        assert csv.json()["predictions"] == expected
    tensors = [
        {"name": "route", "shape": [2], "datatype": "BYTES", "data": columns["route"]},
        {"name": "distance", "shape": [2], "datatype": "FP64", "data": columns["distance"]},
    ]
    assert replica.post("/infer", {"inputs": tensors}).json()["outputs"][0]["data"] == expected
    assert replica.predict([[1, 2]]).status_code == 422


def test_null_or_missing_values_are_not_in_the_dictionary(tmp_path: Path) -> None:
    model: Any = make_pipeline(DictVectorizer(), Ridge()).fit(_RIDES, _PRICES)
    replica = _replica(tmp_path, "records-sparse", model, signature=infer_signature([{"route": "1_2"}, {"distance": 3}]))
    asked: list[dict[str, Any]] = [{"route": "1_2"}, {"distance": 3, "tags": ["a", "new"]}, {"unheard": 1}]
    padded = [{"route": None, "distance": None, "tags": None, **record} for record in asked]
    expected = model.predict(asked).tolist()
    assert replica.predicted(asked)["predictions"] == expected
    assert replica.predicted(padded)["predictions"] == expected
    for form in ("dataframe_records", "instances", "inputs"):
        assert replica.post("/invocations", {form: asked}).json()["predictions"] == expected
    refused = replica.predict([{"route": 5}, {"distance": "far"}])
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["inputs.route", "inputs.distance"]
    assert replica.predict([{"route": "1_2"}, [1]]).status_code == 422


_OF_LISTS: dict[str, Any] = {
    "tokens": _words(TfidfVectorizer(analyzer=_same)),
    "tokens without a vocabulary": _words(HashingVectorizer(analyzer=_same, n_features=64)),
    "tokens by two functions": _words(CountVectorizer(tokenizer=_same, preprocessor=_same, token_pattern=None)),
    "hashed": _words(FeatureHasher(64, input_type="string")),
}


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("name", _OF_LISTS)
def test_models_of_word_lists_take_lists(tmp_path: Path, name: str, is_signed: bool) -> None:
    model = _OF_LISTS[name].fit(_TOKENS, _MOODS)
    options = {"signature": infer_signature(_TOKENS[:5])} if is_signed else {}
    replica = _replica(tmp_path, f"lists-{name.replace(' ', '-')}-{is_signed}", model, **options)
    asked = [["good", "nice"], ["awful"], []]
    expected = model.predict(asked).tolist()
    assert replica.predicted(asked)["predictions"] == expected
    assert replica.predicted({"tokens": asked})["predictions"] == expected
    assert replica.post("/v1:predict", {"instances": asked}).json()["predictions"] == expected
    assert replica.predict(["good nice"]).status_code == 422
    assert replica.get("").status_code == 200


@pytest.mark.parametrize("first", [FunctionTransformer(_lengths), Lengths()], ids=["function", "class"])
@pytest.mark.parametrize("is_signed", [False, True])
def test_models_of_a_series_take_a_series(tmp_path: Path, first: Any, is_signed: bool) -> None:
    series = pd.Series(_TEXTS)
    model: Any = make_pipeline(first, LinearRegression()).fit(series, np.arange(30))
    options = {"signature": infer_signature(series)} if is_signed else {}
    replica = _replica(tmp_path, f"series-{type(first).__name__}-{is_signed}", model, **options)
    expected = model.predict(pd.Series(_ASKED)).tolist()
    assert replica.predicted(_ASKED)["predictions"] == expected
    assert replica.predicted({"text": _ASKED})["predictions"] == expected


def test_numeric_models_take_a_table(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(40, 3))
    rows: Any = numbers.tolist()
    doubled: Any = make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(numbers, numbers[:, 0])
    listed: Any = LinearRegression().fit(rows, numbers[:, 0])
    for name, model, signature in (
        ("function-of-numbers", doubled, None),
        ("list-of-lists", listed, infer_signature(rows)),
        ("outliers", IsolationForest(n_estimators=5, random_state=0).fit(numbers), None),
        ("clusters-that-predict", KMeans(2, random_state=0, n_init=1).fit(numbers), None),
    ):
        replica = _replica(tmp_path, name, model, signature=signature)
        assert replica.predicted(rows[:3])["predictions"] == model.predict(numbers[:3]).tolist(), name


_NUMBERS: Any = np.random.default_rng(0).normal(size=(50, 2))


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("dbscan", DBSCAN().fit(_NUMBERS), "DBSCAN has no predict method, so it cannot answer requests."),
        ("pca", PCA(1).fit(_NUMBERS), 'PCA has no predict method, so it cannot answer requests.*pyfunc_predict_fn="transform"'),
        (
            "scaled",
            make_pipeline(StandardScaler(), DBSCAN()).fit(_NUMBERS),
            "step of the Pipeline, DBSCAN, has no predict",
        ),
        (
            "no-refit",
            GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2, refit=False).fit(_NUMBERS, _NUMBERS[:, 0] > 0),
            "GridSearchCV has no predict method with refit=False, so it cannot answer requests",
        ),
        ("not-fitted", LogisticRegression(), "LogisticRegression is not fitted, so it cannot answer requests"),
    ],
)
def test_model_that_can_answer_nothing_says_so(tmp_path: Path, name: str, model: Any, said: str) -> None:
    with pytest.raises(CannotAnswer, match=said):
        _replica(tmp_path, f"nothing-{name}", model)


def test_chosen_method_answers(tmp_path: Path) -> None:
    model = PCA(1).fit(_NUMBERS)
    replica = _replica(tmp_path, "projected", model, pyfunc_predict_fn="transform")
    assert replica.predicted(_NUMBERS[:3].tolist())["predictions"] == model.transform(_NUMBERS[:3]).tolist()
