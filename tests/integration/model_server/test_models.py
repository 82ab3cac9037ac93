"""Every kind of model, registered and loaded: the replica's answers are the library's own."""

from __future__ import annotations

import warnings
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tests.integration.model_server.replicas import Registry, Replica, log_lightgbm, log_sklearn, log_xgboost

_CLASSIFICATION: Any = make_classification(n_samples=300, n_features=6, n_informative=4, n_classes=3, random_state=0)
_X, _Y = _CLASSIFICATION
_IRIS: Any = load_iris(as_frame=True)
_DIABETES: Any = load_diabetes(as_frame=True)
_PEOPLE: Any = pd.DataFrame(
    {
        "age": [23, 45, 31, 60, 52, 18] * 10,
        "city": ["Rome", "Oslo", "Rome", "Bonn", "Oslo", "Bonn"] * 10,
        "income": [1.5, 2.5, 3.5, 0.5, 9.5, 7.0] * 10,
        "member": [True, False, True, True, False, False] * 10,
    }
)
_BOUGHT = np.array(["yes", "no", "yes", "no", "yes", "no"] * 10)
_PICKLED = {"serialization_format": "cloudpickle"}


def _sklearn(registry: Registry, name: str, model: Any, **options: Any) -> Replica:
    return registry.replica(name, log_sklearn, model, **_PICKLED, **options)


def _people_pipeline() -> Any:
    columns = ColumnTransformer(
        [("city", OneHotEncoder(), ["city"]), ("numbers", StandardScaler(), ["age", "income"])], remainder="passthrough"
    )
    return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(_PEOPLE, _BOUGHT)


@pytest.mark.parametrize(
    ("name", "classes"),
    [("integers", np.array([0, 1, 2])), ("texts", np.array(["a", "b", "c"])), ("booleans", np.array([False, True, True]))],
)
@pytest.mark.parametrize("is_signed", [False, True])
def test_classifier_trained_on_an_array_answers(registry: Registry, name: str, classes: np.ndarray, is_signed: bool) -> None:
    model: Any = RandomForestClassifier(10, random_state=0, n_jobs=2).fit(_X, classes[_Y])
    signature = infer_signature(_X, model.predict(_X)) if is_signed else None
    replica = _sklearn(registry, f"forest-{name}-{is_signed}", model, signature=signature)
    rows = _X[:20]
    answer = replica.predicted(rows.tolist(), return_probabilities=True)
    assert answer["model_name"] == f"forest-{name}-{is_signed}"
    assert answer["model_version"] == "1"
    assert answer["inference_time_ms"] >= 0
    assert answer["predictions"] == model.predict(rows).tolist()
    np.testing.assert_allclose(answer["probabilities"], model.predict_proba(rows), rtol=0, atol=1e-15)
    assert answer["classes"] == model.classes_.tolist()
    columns = {f"feature_{index}": rows[:, index].tolist() for index in range(6)}
    assert replica.predicted(columns)["predictions"] == answer["predictions"]
    records = [dict(zip(columns, row, strict=True)) for row in rows.tolist()]
    plain = replica.predicted(records)
    assert plain["predictions"] == answer["predictions"]
    assert "probabilities" not in plain
    assert "classes" not in plain
    refused = replica.predict(rows[:, :2].tolist())
    assert refused.status_code == 422
    assert refused.json()["detail"] == "The model wants 6 features, got 2."


@pytest.mark.parametrize("is_signed", [False, True])
def test_classifier_trained_on_a_frame_answers(registry: Registry, is_signed: bool) -> None:
    model: Any = LogisticRegression(max_iter=500).fit(_IRIS.data, _IRIS.target)
    signature = infer_signature(_IRIS.data, model.predict(_IRIS.data)) if is_signed else None
    replica = _sklearn(registry, f"iris-{is_signed}", model, signature=signature)
    frame = _IRIS.data[::10]
    expected = model.predict(frame).tolist()
    shuffled = frame[frame.columns[::-1]]
    assert (
        replica.predicted(shuffled.to_dict("list"), return_probabilities=True)["probabilities"]
        == model.predict_proba(frame).tolist()
    )
    assert replica.predicted(shuffled.to_dict("records"))["predictions"] == expected
    assert replica.predicted(frame.to_numpy().tolist())["predictions"] == expected
    one_row = frame.iloc[0].to_dict()
    assert replica.predicted(one_row)["predictions"] == expected[:1]
    whole = {column: [5, 3] for column in frame.columns}
    assert replica.predicted(whole)["predictions"] == model.predict(pd.DataFrame(whole).astype(float)).tolist()
    misspelt = {name.replace("petal length (cm)", "petal_length"): value for name, value in one_row.items()}
    refused = replica.predict(misspelt)
    assert refused.status_code == 422
    assert [entry["field"] for entry in refused.json()["errors"]] == ["inputs.petal length (cm)", "inputs.petal_length"]


@pytest.mark.parametrize("is_signed", [False, True])
def test_pipeline_with_text_columns_answers(registry: Registry, is_signed: bool) -> None:
    model: Any = _people_pipeline()
    signature = infer_signature(_PEOPLE, _BOUGHT) if is_signed else None
    replica = _sklearn(registry, f"people-{is_signed}", model, signature=signature)
    answer = replica.predicted(_PEOPLE[:6].to_dict("list"), return_probabilities=True)
    assert answer["predictions"] == model.predict(_PEOPLE[:6]).tolist()
    assert answer["probabilities"] == model.predict_proba(_PEOPLE[:6]).tolist()
    assert answer["classes"] == ["no", "yes"]
    rows = _PEOPLE[:6].to_numpy().tolist()
    assert replica.predicted(rows)["predictions"] == answer["predictions"]
    unknown = replica.predict({"age": 1, "city": "Atlantis", "income": 1.0, "member": True})
    assert unknown.status_code == 422
    assert "Atlantis" in unknown.json()["detail"]


def test_signature_names_every_mistyped_column(registry: Registry) -> None:
    replica = _sklearn(registry, "people-typed", _people_pipeline(), signature=infer_signature(_PEOPLE, _BOUGHT))
    refused = replica.predict({"age": [1.5], "city": [7], "income": ["much"], "member": ["yes"]})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    said = {entry["field"]: entry["detail"] for entry in refused.json()["errors"]}
    assert said == {
        "inputs.age": "wants integers; row 0 has 1.5",
        "inputs.city": "wants text; row 0 has 7",
        "inputs.income": 'wants numbers; row 0 has "much"',
        "inputs.member": 'wants true or false; row 0 has "yes"',
    }


def test_optional_columns_may_be_missing(registry: Registry) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0, 4.0], "b": [0.0, 1.0, 0.0, 1.0]})
    model: Any = DecisionTreeClassifier(random_state=0).fit(frame, [0, 1, 0, 1])
    replica = _sklearn(registry, "gaps", model, signature=infer_signature(frame))
    expected = model.predict(pd.DataFrame({"a": [np.nan, 4.0], "b": [1.0, 0.0]})).tolist()
    assert replica.predicted({"a": [None, 4], "b": [1, 0]})["predictions"] == expected
    assert replica.predicted({"b": [1]})["predictions"] == expected[:1]


def test_model_that_takes_no_nulls_says_so(registry: Registry) -> None:
    replica = _sklearn(registry, "no-nulls", LogisticRegression().fit(_X, _Y))
    refused = replica.predict([[None] * 6])
    assert refused.status_code == 422
    assert refused.json()["code"] == "inputs_refused"
    assert "NaN" in refused.json()["detail"]


@pytest.mark.parametrize("outputs", [1, 2])
def test_regressors_answer(registry: Registry, outputs: int) -> None:
    target = np.column_stack([_DIABETES.target * (index + 1) for index in range(outputs)])
    model: Any = RandomForestRegressor(5, random_state=0).fit(_DIABETES.data, target if outputs > 1 else target.ravel())
    replica = _sklearn(
        registry, f"regressor-{outputs}", model, signature=infer_signature(_DIABETES.data, model.predict(_DIABETES.data))
    )
    frame = _DIABETES.data[:9]
    assert replica.predicted(frame.to_dict("list"))["predictions"] == model.predict(frame).tolist()
    refused = replica.predict(frame.to_dict("list"), return_probabilities=True)
    assert refused.status_code == 422
    assert refused.json()["code"] == "no_probabilities"


def test_classifier_with_several_outputs_answers(registry: Registry) -> None:
    model: Any = MultiOutputClassifier(LogisticRegression()).fit(_X, np.column_stack([_Y, _Y > 0]))
    replica = _sklearn(registry, "several", model)
    assert replica.predicted(_X[:5].tolist())["predictions"] == model.predict(_X[:5]).tolist()
    assert replica.predict(_X[:5].tolist(), return_probabilities=True).status_code == 422


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("search", GridSearchCV(RandomForestClassifier(5, random_state=0, n_jobs=2), {"max_depth": [2, 3]}, cv=2)),
        (
            "stack",
            StackingClassifier([("tree", RandomForestClassifier(5, random_state=0, n_jobs=2))], LogisticRegression(), cv=2),
        ),
        ("machine", SVC()),
        ("clusters", KMeans(3, random_state=0, n_init=1)),
    ],
)
def test_other_estimators_answer(registry: Registry, name: str, model: Any) -> None:
    model.fit(_X, _Y)
    replica = _sklearn(registry, name, model)
    assert replica.predicted(_X[:30].tolist())["predictions"] == model.predict(_X[:30]).tolist()
    wanted = 200 if hasattr(model, "predict_proba") else 422
    assert replica.predict(_X[:30].tolist(), return_probabilities=True).status_code == wanted


def test_text_pipeline_takes_rows_and_columns(registry: Registry) -> None:
    texts = ["good film", "bad film", "great", "awful"]
    model: Any = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    replica = _sklearn(registry, "texts", model)
    assert replica.predicted([["good"], ["awful"]])["predictions"] == model.predict(["good", "awful"]).tolist()
    assert replica.predicted({"text": ["good", "awful"]})["predictions"] == [1, 0]
    named = _sklearn(registry, "texts-named", model, signature=infer_signature(pd.DataFrame({"text": texts})))
    assert named.predicted({"text": ["good", "awful"]})["predictions"] == [1, 0]


def test_predict_method_chosen_at_logging_answers(registry: Registry) -> None:
    model: Any = LogisticRegression().fit(_X, _Y)
    replica = _sklearn(registry, "chosen", model, pyfunc_predict_fn="predict_proba")
    assert replica.predicted(_X[:3].tolist())["predictions"] == model.predict_proba(_X[:3]).tolist()


def test_model_in_skops_format_answers(registry: Registry) -> None:
    model: Any = make_pipeline(StandardScaler(), Ridge()).fit(_X, _Y)
    replica = registry.replica("skops", log_sklearn, model, serialization_format="skops")
    assert replica.predicted(_X[:3].tolist())["predictions"] == model.predict(_X[:3]).tolist()


def test_integer_signature_takes_integers_only(registry: Registry) -> None:
    numbers = np.arange(60).reshape(-1, 2)
    model: Any = LinearRegression().fit(numbers, numbers[:, 0])
    replica = _sklearn(registry, "whole", model, signature=infer_signature(numbers))
    assert replica.predicted([[1.0, 2.0]])["predictions"] == model.predict([[1, 2]]).tolist()
    assert replica.predict([[1.5, 2.0]]).status_code == 422


# XGBoost


@pytest.mark.parametrize("is_frame", [False, True])
@pytest.mark.parametrize("kind", [xgboost.XGBClassifier, xgboost.XGBRegressor])
def test_xgboost_models_answer(registry: Registry, kind: Any, is_frame: bool) -> None:
    data: Any = pd.DataFrame(_X, columns=[f"c{index}" for index in range(6)]) if is_frame else _X
    model: Any = kind(n_estimators=10, n_jobs=2, random_state=0).fit(data, _Y)
    replica = registry.replica(f"xgb-{kind.__name__}-{is_frame}", log_xgboost, model)
    expected = model.predict(data[:20])
    inputs = data[:20].to_dict("list") if isinstance(data, pd.DataFrame) else data[:20].tolist()
    assert replica.predicted(inputs)["predictions"] == expected.tolist()
    if kind is xgboost.XGBClassifier:
        answer = replica.predicted(inputs, return_probabilities=True)
        assert answer["probabilities"] == model.predict_proba(data[:20]).tolist()
        assert answer["classes"] == [0, 1, 2]
    else:
        assert replica.predict(inputs, return_probabilities=True).status_code == 422
    assert replica.predict([[1.0]]).status_code == 422


@pytest.mark.parametrize(
    ("objective", "options"), [("binary:logistic", {}), ("multi:softprob", {"num_class": 3}), ("reg:squarederror", {})]
)
@pytest.mark.parametrize("is_frame", [False, True])
def test_xgboost_boosters_answer(registry: Registry, objective: str, options: dict[str, Any], is_frame: bool) -> None:
    data: Any = pd.DataFrame(_X, columns=[f"c{index}" for index in range(6)]) if is_frame else _X
    target = (_Y > 0).astype(int) if objective.startswith("binary") else _Y
    booster: Any = xgboost.train({"objective": objective, "seed": 0, **options}, xgboost.DMatrix(data, target), 5)
    signature = infer_signature(data, booster.predict(xgboost.DMatrix(data))) if is_frame else None
    replica = registry.replica(
        f"booster-{options}-{objective[:3]}-{is_frame}".translate(_PLAIN),
        log_xgboost,
        booster,
        signature=signature,
    )
    expected = booster.predict(xgboost.DMatrix(data[:20]))
    inputs = data[:20].to_dict("records") if isinstance(data, pd.DataFrame) else data[:20].tolist()
    assert replica.predicted(inputs)["predictions"] == expected.tolist()
    answer = replica.predict(inputs, return_probabilities=True)
    if objective == "binary:logistic":
        probabilities = np.array(answer.json()["probabilities"])
        assert probabilities[:, 1].tolist() == expected.tolist()
        assert answer.json()["classes"] == [0, 1]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-15)
    elif objective == "multi:softprob":
        assert answer.json()["probabilities"] == expected.tolist()
        assert answer.json()["classes"] == [0, 1, 2]
    else:
        assert answer.status_code == 422


def test_xgboost_model_with_categories_answers(registry: Registry) -> None:
    frame = _PEOPLE.astype({"city": "category"})
    model: Any = xgboost.XGBClassifier(n_estimators=5, enable_categorical=True, random_state=0).fit(frame, _BOUGHT == "yes")
    signature = infer_signature(_PEOPLE, model.predict(frame))
    replica = registry.replica("xgb-categories", log_xgboost, model, signature=signature)
    rows = _PEOPLE[1:3]  # two of the three cities, in another order than in training
    assert (
        replica.predicted(rows.to_dict("list"), return_probabilities=True)["probabilities"]
        == model.predict_proba(frame[1:3]).tolist()
    )


# LightGBM


@pytest.mark.parametrize("is_frame", [False, True])
@pytest.mark.parametrize("kind", [lightgbm.LGBMClassifier, lightgbm.LGBMRegressor])
def test_lightgbm_models_answer(registry: Registry, kind: Any, is_frame: bool) -> None:
    data: Any = pd.DataFrame(_X, columns=[f"a column {index}" for index in range(6)]) if is_frame else _X
    target = np.array(["x", "y", "z"])[_Y] if kind is lightgbm.LGBMClassifier else _Y
    model: Any = kind(n_estimators=10, n_jobs=2, random_state=0, verbose=-1).fit(data, target)
    replica = registry.replica(f"lgbm-{kind.__name__}-{is_frame}", log_lightgbm, model)
    inputs = data[:20].to_dict("list") if isinstance(data, pd.DataFrame) else data[:20].tolist()
    assert replica.predicted(inputs)["predictions"] == model.predict(data[:20]).tolist()
    if kind is lightgbm.LGBMClassifier:
        answer = replica.predicted(inputs, return_probabilities=True)
        assert answer["probabilities"] == model.predict_proba(data[:20]).tolist()
        assert answer["classes"] == ["x", "y", "z"]
    else:
        assert replica.predict(inputs, return_probabilities=True).status_code == 422
    assert replica.predict([[1.0]]).status_code == 422


@pytest.mark.parametrize(("objective", "options"), [("binary", {}), ("multiclass", {"num_class": 3}), ("regression", {})])
@pytest.mark.parametrize("is_frame", [False, True])
def test_lightgbm_boosters_answer(registry: Registry, objective: str, options: dict[str, Any], is_frame: bool) -> None:
    data: Any = pd.DataFrame(_X, columns=[f"c{index}" for index in range(6)]) if is_frame else _X
    target = (_Y > 0).astype(int) if objective == "binary" else _Y
    booster: Any = lightgbm.train(
        {"objective": objective, "verbose": -1, "seed": 0, **options}, lightgbm.Dataset(data, target), 5
    )
    replica = registry.replica(f"lgb-{objective}-{is_frame}", log_lightgbm, booster)
    expected = np.asarray(booster.predict(data[:20]))
    inputs = data[:20].to_dict("records") if isinstance(data, pd.DataFrame) else data[:20].tolist()
    assert replica.predicted(inputs)["predictions"] == expected.tolist()
    answer = replica.predict(inputs, return_probabilities=True)
    if objective == "binary":
        assert np.array(answer.json()["probabilities"])[:, 1].tolist() == expected.tolist()
        assert answer.json()["classes"] == [0, 1]
    elif objective == "multiclass":
        assert answer.json()["probabilities"] == expected.tolist()
        assert answer.json()["classes"] == [0, 1, 2]
    else:
        assert answer.status_code == 422


@pytest.mark.parametrize("is_signed", [False, True])
def test_lightgbm_model_with_categories_answers(registry: Registry, is_signed: bool) -> None:
    frame = _PEOPLE.astype({"city": "category"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = lightgbm.LGBMClassifier(n_estimators=5, min_data_in_leaf=1, verbose=-1, random_state=0).fit(frame, _BOUGHT)
    signature = infer_signature(_PEOPLE, _BOUGHT) if is_signed else None
    replica = registry.replica(f"lgbm-categories-{is_signed}", log_lightgbm, model, signature=signature)
    rows = _PEOPLE[1:3]
    assert (
        replica.predicted(rows.to_dict("list"), return_probabilities=True)["probabilities"]
        == model.predict_proba(frame[1:3]).tolist()
    )


_PLAIN = str.maketrans(dict.fromkeys("{}':, ", "_"))
