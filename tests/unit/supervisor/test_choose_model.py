from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from raylift.domain.models.version import LoggedModel, ModelKind, TrackedRun
from raylift.domain.sources.script_notes import ScriptNotes
from raylift.supervisor.jobs.choose_model import choice, choose_model, choose_run, no_model, whose_metrics

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def logged(*names: str) -> list[LoggedModel]:
    return [LoggedModel(f"m-{index}", name, "run", NOW, f"models:/m-{index}") for index, name in enumerate(names)]


def autologged(name: str, kind: ModelKind, run_id: str = "run", model: str = "model") -> LoggedModel:
    model_id = f"m-{name}"
    classes = tuple(name.split(" of "))
    return LoggedModel(model_id, model, run_id, NOW, f"models:/{model_id}", classes, kind, autologged=True)


def run(run_id: str, parent: str | None = None, **fields: Any) -> TrackedRun:
    return TrackedRun(run_id, "1", NOW, parent, **fields)


LOGISTIC = autologged("LogisticRegression", ModelKind.PREDICTOR, "run-1")
PCA = autologged("PCA", ModelKind.OTHER, "run-2")
DUMMY = autologged("DummyClassifier", ModelKind.BASELINE, "run-4")
SEARCH = autologged("GridSearchCV of SVC", ModelKind.PREDICTOR, "run-5")
BEST = autologged("SVC", ModelKind.PREDICTOR, "run-5", model="best_estimator")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a", "churn", "model", "b"], 1),
        (["a", "model", "b"], 1),
        (["a", "b"], 1),
        (["model", "model"], 1),
        (["churn", "churn", "model"], 1),
    ],
)
def test_choice_is_the_model_s_name_then_model_then_the_last(names: list[str], chosen: int) -> None:
    models = logged(*names)
    assert choose_model(models, "churn") == models[chosen]


def test_no_logged_model_gives_none() -> None:
    assert choose_model([], "churn") is None


@pytest.mark.parametrize(
    ("models", "chosen"),
    [
        ([LOGISTIC, PCA], LOGISTIC),
        ([PCA, LOGISTIC], LOGISTIC),
        ([LOGISTIC, DUMMY], LOGISTIC),
        ([DUMMY, PCA], PCA),
        ([PCA, DUMMY], PCA),
        ([LOGISTIC, SEARCH, BEST], BEST),
        ([SEARCH, BEST, LOGISTIC], LOGISTIC),
        ([DUMMY], DUMMY),
    ],
)
def test_choice_among_autologged_models_is_supervised_then_last(models: list[LoggedModel], chosen: LoggedModel) -> None:
    assert choose_model(models, "churn") == chosen


def test_explicitly_logged_model_precedes_autologged_ones() -> None:
    (explicit,) = logged("scaler")
    assert choose_model([explicit, LOGISTIC], "churn") == explicit


@pytest.mark.parametrize(
    ("register", "chosen"),
    [
        ("LogisticRegression", LOGISTIC),
        ("DummyClassifier", DUMMY),
        ("run-2", PCA),
        ("upbeat-cow-1", LOGISTIC),
        ("best_estimator", BEST),
        ("GridSearchCV", SEARCH),
        ("SVC", BEST),
        ("KMeans", None),
    ],
)
def test_upload_can_choose_by_name_class_or_run(register: str, chosen: LoggedModel | None) -> None:
    models = [LOGISTIC, PCA, DUMMY, SEARCH, BEST]
    assert choose_model(models, "churn", register, [run("run-1", name="upbeat-cow-1")]) == chosen


def test_class_inside_a_search_is_found_without_a_plain_one() -> None:
    assert choose_model([LOGISTIC, SEARCH], "churn", "SVC") == SEARCH


def test_message_names_the_chosen_model_and_the_others() -> None:
    said = choice(LOGISTIC, [LOGISTIC, PCA, SEARCH], [run("run-1", name="upbeat-cow-1")])
    assert "LogisticRegression ('model' of run upbeat-cow-1)" in said
    assert "PCA ('model')" in said
    assert "GridSearchCV of SVC" in said
    assert "register" in said
    assert choice(LOGISTIC, [LOGISTIC], []) == ""


def test_choice_without_a_match_lists_the_models() -> None:
    said = no_model("churn", "KMeans", [LOGISTIC, PCA], [])
    assert "'KMeans'" in said
    assert "LogisticRegression" in said
    assert "logged no model" in no_model("churn", "KMeans", [], [])


@pytest.mark.parametrize(
    ("library", "call", "autologs"),
    [
        (None, "mlflow.sklearn.log_model", True),
        ("sklearn", "mlflow.sklearn.log_model", True),
        ("torch", "mlflow.pytorch.log_model", False),
        ("lightning", "lightning.Trainer", True),
        ("spacy", "mlflow.spacy.log_model", False),
        ("of somebody", "mlflow.sklearn.log_model", False),
    ],
)
def test_hint_names_the_library_of_the_script(library: str | None, call: str, autologs: bool) -> None:
    said = no_model("churn", None, [], [], ScriptNotes(library=library))
    assert call in said
    assert ("leave autolog on" in said) is autologs


def test_failed_autologging_is_reported() -> None:
    said = no_model("churn", None, [], [], ScriptNotes(autolog_failure="keras: no module"))
    assert "Autologging failed (keras: no module)." in said


def test_message_counts_the_runs() -> None:
    assert "2 MLflow runs" in no_model("churn", None, [], [run("a"), run("b")])


def test_run_of_the_version_is_the_job_s_run() -> None:
    runs = [run("a"), run("b"), run("c", parent="a")]
    assert choose_run(runs, "a") == runs[0]
    assert choose_run(runs, None) == runs[1]
    assert choose_run(runs[2:], None) == runs[2]
    assert choose_run([], None) is None


def test_job_with_several_runs_names_the_run_of_its_metrics() -> None:
    runs = [run("a", name="first"), run("b", name="second"), run("c", parent="b", name="candidate")]
    said = whose_metrics(runs[1], runs)
    assert "those of run second" in said
    assert "also made first." in said
    assert "candidate" not in said
    assert whose_metrics(runs[0], runs[:1]) == ""
    assert "and 2 more" in whose_metrics(runs[0], [runs[0], *(run(str(number)) for number in range(7))])


def test_last_child_run_is_the_job_s_run_in_a_sweep() -> None:
    runs = [run("a", parent="sweep"), run("b", parent="sweep"), run("c", parent="b")]
    assert choose_run(runs, None) == runs[1]
