"""Runs and models of a script in a real MLflow server: the job's tag finds them, however they were made."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy
import pytest
from mlflow.tracking import MlflowClient, fluent

from job_entrypoints.tracking.import_hooks import AUTOLOGGED

DATA = "import numpy as np\nX, y = np.random.rand(60, 3), np.arange(60) % 2\n"

PLAIN_SCRIPTS = {
    "sklearn": "from sklearn.linear_model import LogisticRegression\n" + DATA + "LogisticRegression().fit(X, y)",
    "sklearn, submodule first": "import sklearn.ensemble as e\n" + DATA + "e.RandomForestClassifier(5).fit(X, y)",
    "sklearn, grid search": (
        "from sklearn.model_selection import GridSearchCV\nfrom sklearn.tree import DecisionTreeClassifier\n"
        + DATA
        + "GridSearchCV(DecisionTreeClassifier(), {'max_depth': [1, 2]}, cv=2).fit(X, y)"
    ),
    "xgboost, sklearn API": "import xgboost\n" + DATA + "xgboost.XGBClassifier(n_estimators=3).fit(X, y)",
    "xgboost, train": "import xgboost as xgb\n" + DATA + "xgb.train({'max_depth': 2}, xgb.DMatrix(X, y), num_boost_round=3)",
    "lightgbm, sklearn API": "from lightgbm import LGBMClassifier\n"
    + DATA
    + "LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y)",
    "lightgbm, train": (
        "import lightgbm as lgb\n"
        + DATA
        + "lgb.train({'objective': 'binary', 'verbose': -1}, lgb.Dataset(X, y), num_boost_round=3)"
    ),
    "xgboost after mlflow.xgboost": (
        "import mlflow.xgboost, xgboost as xgb\n" + DATA + "xgb.train({'max_depth': 2}, xgb.DMatrix(X, y), num_boost_round=3)"
    ),
    "sklearn after mlflow.sklearn": (
        "import mlflow.sklearn\nfrom sklearn.linear_model import LinearRegression\n" + DATA + "LinearRegression().fit(X, y)"
    ),
    "two libraries": (
        "import sklearn.linear_model, xgboost\n"
        + DATA
        + "xgboost.train({'max_depth': 2}, xgboost.DMatrix(X, y), num_boost_round=3)"
    ),
}


@dataclass(frozen=True)
class Tracked:
    result: Any
    runs: list[Any]
    models: list[Any]


@pytest.fixture
def track(run: Callable[..., Any], mlflow_url: str) -> Callable[..., Tracked]:
    """Run a script and search every experiment for runs and models with its job's tag."""

    def run_and_search(source: str, **overrides: Any) -> Tracked:
        defaults: dict[str, Any] = {
            "mlflow_url": mlflow_url,
            "autolog": True,
            "tags": {"team": "blue"},
            "memory_bytes": 2 << 30,
        }
        result = run(source, **(defaults | overrides))
        client = MlflowClient(mlflow_url)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        tag = f"tags.`raylift.job_id` = '{result.directory.name.removesuffix('-a1')}'"
        models = client.search_logged_models(experiments, filter_string=tag)
        return Tracked(result, list(client.search_runs(experiments, tag)), list(models))

    return run_and_search


VARIANTS = (
    "sklearn, submodule first",
    "sklearn, grid search",
    "xgboost, sklearn API",
    "lightgbm, train",
    "xgboost after mlflow.xgboost",
)
"""Scripts that differ from another one by their import or by the estimator. ``make test-all`` runs them, and CI the others."""
IN_CI = [name for name in PLAIN_SCRIPTS if name not in VARIANTS]


@pytest.mark.parametrize("name", [*IN_CI, *(pytest.param(name, marks=pytest.mark.nightly) for name in VARIANTS)])
def test_script_without_mlflow_code_is_tracked(name: str, track: Callable[..., Tracked]) -> None:
    tracked = track(PLAIN_SCRIPTS[name])
    assert tracked.result.exit_code == 0, tracked.result.output
    assert "Traceback" not in tracked.result.output
    assert "[raylift]" not in tracked.result.output
    parents = [run for run in tracked.runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert parents[0].data.tags["team"] == "blue"
    assert parents[0].data.params
    assert {str(model.status) for model in tracked.models} == {"READY"}
    assert {model.source_run_id for model in tracked.models} == {parents[0].info.run_id}
    assert all(_records_numerics(model) for model in tracked.models)


FOREST = (
    "import mlflow\nfrom sklearn.ensemble import RandomForestClassifier\n"
    + DATA
    + "with mlflow.start_run() as r:\n    model = RandomForestClassifier(5).fit(X, y)\n"
)


@pytest.mark.parametrize("autolog", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_forest_logged_by_a_positional_name_is_the_only_model(autolog: bool, track: Callable[..., Tracked]) -> None:
    script = (
        FOREST
        + "    import time; t = time.time()\n    mlflow.sklearn.log_model(model, 'model')\n    print('took', time.time() - t)"
    )
    tracked = track(script, autolog=autolog)
    assert tracked.result.exit_code == 0, tracked.result.output
    assert [(model.name, str(model.status)) for model in tracked.models] == [("model", "READY")]
    assert len(tracked.runs) == 1
    assert bool(tracked.runs[0].data.params) is autolog
    requirements = _requirements(tracked)
    assert {"mlflow", "scikit-learn", "cloudpickle", "numpy"} <= requirements.keys()
    assert not {"flask", "sqlalchemy", "ray", "raylift", "matplotlib", "xgboost"} & requirements.keys()
    assert all(requirements.values())
    loaded: Any = mlflow.sklearn.load_model(f"models:/{tracked.models[0].model_id}")
    assert loaded.predict([[0.1, 0.2, 0.3]]).shape == (1,)


def test_models_are_tagged_with_their_class_kind_and_origin(track: Callable[..., Tracked]) -> None:
    tracked = track(
        "from sklearn.decomposition import PCA\nfrom sklearn.dummy import DummyClassifier\n"
        "from sklearn.model_selection import GridSearchCV, cross_val_score\nfrom sklearn.tree import DecisionTreeClassifier\n"
        "from xgboost import XGBClassifier\n" + DATA + "XGBClassifier(n_estimators=2).fit(X, y)\n"
        "GridSearchCV(DecisionTreeClassifier(), {'max_depth': [1, 2]}, cv=2).fit(X, y)\n"
        "cross_val_score(DecisionTreeClassifier(), X, y, cv=2)\nPCA(2).fit_transform(X)\nDummyClassifier().fit(X, y)\n"
    )
    assert tracked.result.exit_code == 0, tracked.result.output
    # MLflow does not autolog the folds of a cross-validation.
    found = sorted((model.tags["raylift.model_class"], model.tags["raylift.model_kind"]) for model in tracked.models)
    assert found == [
        ("DecisionTreeClassifier", "predictor"),
        ("DummyClassifier", "baseline"),
        ("GridSearchCV of DecisionTreeClassifier", "predictor"),
        ("PCA", "other"),
        ("XGBClassifier", "predictor"),
    ]
    assert {model.tags["raylift.autologged"] for model in tracked.models} == {"true"}
    explicit = track(FOREST + "    mlflow.sklearn.log_model(model, name='mine')")
    assert [model.tags["raylift.autologged"] for model in explicit.models] == ["false"]


def test_explicit_options_of_the_user_are_kept(track: Callable[..., Tracked]) -> None:
    tracked = track(
        "import mlflow\nfrom sklearn.linear_model import LogisticRegression\n" + DATA + "m = LogisticRegression().fit(X, y)\n"
        "mlflow.sklearn.log_model(m, name='mine', serialization_format='skops',"
        " pip_requirements=['scikit-learn', 'six==1.17.0'])"
    )
    assert tracked.result.exit_code == 0, tracked.result.output
    (model,) = [model for model in tracked.models if model.name == "mine"]
    assert _requirements(Tracked(None, [], [model])).keys() == {"mlflow", "scikit-learn", "six"}
    flavors = mlflow.models.get_model_info(f"models:/{model.model_id}").flavors
    assert flavors["sklearn"]["serialization_format"] == "skops"


def test_autolog_calls_of_the_script_win(track: Callable[..., Tracked]) -> None:
    fit = "from sklearn.linear_model import LogisticRegression\n" + DATA + "LogisticRegression().fit(X, y)\n"
    assert track("import mlflow\nmlflow.autolog(disable=True)\n" + fit).runs == []
    assert track("import mlflow\nmlflow.sklearn.autolog(disable=True)\n" + fit).runs == []
    without_models = track("import mlflow\nmlflow.sklearn.autolog(log_models=False)\n" + fit)
    assert (len(without_models.runs), without_models.models) == (1, [])
    assert track(fit, autolog=False).runs == []


def test_every_kind_of_run_is_found(track: Callable[..., Tracked]) -> None:
    tracked = track(
        """
        import subprocess, sys
        import mlflow
        from mlflow import MlflowClient

        with mlflow.start_run(run_name="parent"):
            with mlflow.start_run(run_name="nested", nested=True): mlflow.log_metric("m", 1)
        with mlflow.start_run(run_name="second", tags={"raylift.job_id": "mine?"}): pass
        mlflow.set_experiment("somewhere else")
        with mlflow.start_run(run_name="elsewhere"): pass
        client = MlflowClient()
        client.create_run("0", run_name="client")
        client.create_run("0", None, {"own": "tag"}, "client positional")
        client.create_run(experiment_id="0", tags={"own": "tag"}, run_name="client named")
        subprocess.run([sys.executable, "-c", "import mlflow\\nwith mlflow.start_run(run_name='child'): pass"], check=True)
        """
    )
    assert tracked.result.exit_code == 0, tracked.result.output
    names = {run.info.run_name for run in tracked.runs}
    # "second" set another value of the tag explicitly. That stays, and the run is its own.
    assert names == {"parent", "nested", "elsewhere", "client", "client positional", "client named", "child"}
    assert all(
        run.data.tags["own"] == "tag" for run in tracked.runs if run.info.run_name in {"client positional", "client named"}
    )


def test_concurrent_jobs_create_one_experiment(start: Callable[..., Any], mlflow_url: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"""
        import mlflow, pathlib, time
        print("loaded", flush=True)
        while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.001)
        with mlflow.start_run(): pass
    """
    jobs = [start(script, mlflow_url=mlflow_url, experiment_name="new") for _ in range(3)]
    for job in jobs:
        job.wait_for_output("loaded", seconds=120)
    go.touch()
    results = [job.wait() for job in jobs]
    assert [result.exit_code for result in results] == [0, 0, 0], [result.output for result in results]


def test_models_without_a_run_are_found(track: Callable[..., Tracked]) -> None:
    tracked = track(
        """
        import mlflow
        from mlflow import MlflowClient
        from sklearn.dummy import DummyClassifier
        mlflow.sklearn.log_model(DummyClassifier().fit([[1]], [1]), name="without_run")
        mlflow.create_external_model(name="external")
        MlflowClient().create_logged_model("0", "by_client")
        """,
        autolog=False,
    )
    assert tracked.result.exit_code == 0, tracked.result.output
    assert {model.name for model in tracked.models} == {"without_run", "external", "by_client"}


def test_version_registered_by_the_script_is_found(track: Callable[..., Tracked], mlflow_url: str) -> None:
    tracked = track(FOREST + "    mlflow.sklearn.log_model(model, name='model', registered_model_name='self_made')")
    assert tracked.result.exit_code == 0, tracked.result.output
    version = MlflowClient(mlflow_url).get_model_version("self_made", "1")
    assert version.source == f"models:/{tracked.models[0].model_id}"


def test_asynchronously_logged_values_are_stored(track: Callable[..., Tracked]) -> None:
    tracked = track(
        "import mlflow\nwith mlflow.start_run():\n"
        "    for i in range(300): mlflow.log_metric('m', i, step=i, synchronous=False)",
    )
    assert tracked.runs[0].data.metrics["m"] == 299


def test_run_of_a_failing_script_is_failed(track: Callable[..., Tracked]) -> None:
    tracked = track("import mlflow\nwith mlflow.start_run():\n    raise ValueError('half way')")
    assert (tracked.result.exit_code, tracked.runs[0].info.status) == (1, "FAILED")
    assert tracked.result.progress["message"] == "ValueError: half way"


def test_failing_hook_prints_a_line_and_the_script_goes_on(start: Callable[..., Any], make_attempt: Callable[..., Any]) -> None:
    running = start(
        """
        import pathlib, sys
        fake = pathlib.Path(__file__).parent / "mlflow"
        fake.mkdir()
        (fake / "__init__.py").write_text("started = True")
        from sklearn.linear_model import LinearRegression
        import mlflow
        print(mlflow.started, LinearRegression().fit([[1], [2]], [1, 2]).coef_)
        """,
        autolog=True,
    )
    result = running.wait()
    assert result.exit_code == 0, result.output
    assert result.output.endswith("True [1.]\n")
    assert len(re.findall(r"\[raylift\] a tracking hook failed", result.output)) == 1


def test_scripts_without_mlflow_do_not_load_it(run: Callable[..., Any]) -> None:
    result = run(
        "import sys, json, csv, numpy\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'mlflow', 'sklearn', 'ray', 'raylift'}))",
        autolog=True,
    )
    assert result.output == "[]\n"


def test_libraries_that_import_mlflow_are_those_it_autologs() -> None:
    source = textwrap.dedent(inspect.getsource(fluent.autolog))
    tables = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }
    assert {library.partition(".")[0] for library in tables["LIBRARY_TO_AUTOLOG_MODULE"]} == AUTOLOGGED


def _requirements(tracked: Tracked) -> dict[str, str]:
    (model,) = tracked.models
    directory = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"))
    lines = (directory / "requirements.txt").read_text().split()
    return {name: pin for name, _, pin in (line.partition("==") for line in lines)}


@pytest.fixture(autouse=True)
def tracking_uri(mlflow_url: str) -> None:
    mlflow.set_tracking_uri(mlflow_url)


FUNCTION = """
import numpy, mlflow

class Doubled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input * 2

mlflow.pyfunc.log_model(name="model", python_model=Doubled())
"""


def test_numerics_of_a_script_are_recorded_with_its_function(track: Callable[..., Tracked]) -> None:
    (model,) = track(FUNCTION).models
    assert _records_numerics(model)


def _records_numerics(model: Any) -> bool:
    record = json.loads(mlflow.artifacts.load_text(f"{model.artifact_location}/raylift_table.json"))
    return record["numerics"]["numpy"] == numpy.__version__ and bool(record["numerics"]["blas"])
