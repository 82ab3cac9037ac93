"""The hooks on fake MLflow modules. tests/integration uses the real ones."""

from __future__ import annotations

import json
import logging
import os
import sys
from types import ModuleType
from typing import Any

import pytest

from job_entrypoints.tracking import mlflow_hooks

JOB_RUN: dict[str, Any] = {
    name: lambda *_: None
    for name in (
        "_get_or_start_run",
        "_resolve_tracking_uri",
        "MlflowClient",
        "end_run",
        "log_metric",
        "log_metrics",
        "set_tags",
    )
} | {"_active_experiment_id": None, "MlflowException": Exception}
"""Names of MLflow's fluent module that the job's run uses."""


def _patched(name: str, script: str = "pass", wanted: bool = True, **attributes: Any) -> Any:
    module = ModuleType(name)
    module.__dict__.update(attributes)
    instructions = json.dumps({"autolog": wanted, "environment_lock": [], "project": "", "notes": "", "tracking_uri": None})
    mlflow_hooks.patch(module, instructions, compile(script, "my_model.py", "exec"))
    return module


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("model.fit(X, y)", False),
        ("mlflow.sklearn.log_model(model, 'model')", True),
        ("def train():\n    def save(): mlflow.xgboost.log_model(m, name='x')\n    save()", True),
        ("from mlflow.sklearn import log_model\nlog_model(m)", True),
        ("class T:\n    def log(self): return [f.log_model for f in ()]", True),
        ("'log_model'", False),
    ],
)
def test_log_model_calls_of_a_script_are_found(script: str, expected: bool) -> None:
    assert mlflow_hooks.logs_models(compile(script, "s", "exec")) is expected


def test_autolog_leaves_models_to_scripts_that_log_them() -> None:
    calls: list[bool] = []

    def autolog(log_models: bool, log_traces: bool) -> None:
        calls.append(log_models)

    _patched("mlflow", "x.fit()", autolog=autolog)
    _patched("mlflow", "log_model(x)", autolog=autolog)
    _patched("mlflow", "x.fit()", wanted=False, autolog=autolog)
    assert calls == [True, False]


def test_renamed_attribute_of_mlflow_raises() -> None:
    with pytest.raises(AttributeError, match="_get_default_serialization_format"):
        _patched("mlflow.sklearn")


def test_default_serialization_is_pickle_or_cloudpickle() -> None:
    sklearn = _patched("mlflow.sklearn", _get_default_serialization_format=lambda: "skops")
    assert sklearn._get_default_serialization_format() == "cloudpickle"
    pytorch = _patched("mlflow.pytorch", _get_default_serialization_format=lambda export_model: "pt2")
    assert (pytorch._get_default_serialization_format(False), pytorch._get_default_serialization_format(True)) == (
        "pickle",
        "pt2",
    )


def test_only_the_advice_on_the_format_is_filtered(caplog: pytest.LogCaptureFixture) -> None:
    _patched("mlflow.sklearn", _get_default_serialization_format=lambda: "skops")
    logger = logging.getLogger("mlflow.sklearn")
    logger.warning("Saving scikit-learn models in the pickle or cloudpickle format requires exercising caution")
    logger.warning("Something else")
    assert caplog.messages == ["Something else"]


def test_client_calls_have_the_job_s_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def create_run(self, experiment_id: str, start_time: Any = None, tags: Any = None, run_name: Any = None) -> Any:
            return tags

        def create_logged_model(self, experiment_id: str, name: Any = None, source_run_id: Any = None, tags: Any = None) -> Any:
            return tags

    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"raylift.job_id": "job_1"}')
    client = _patched("mlflow.tracking._tracking_service.client", TrackingServiceClient=Client).TrackingServiceClient()
    job = {"raylift.job_id": "job_1"}
    assert client.create_run("0") == job
    assert client.create_run("0", None) == job
    assert client.create_run("0", None, None, "name") == job
    assert client.create_run("0", None, {"a": "b"}) == {**job, "a": "b"}
    assert client.create_run("0", tags={"a": "b"}) == {**job, "a": "b"}
    assert client.create_run(experiment_id="0", tags=None) == job
    assert client.create_logged_model("0", "n", None, {"a": "b"}) == {**job, "a": "b"}
    assert client.create_logged_model("0", "n") == job


def test_experiment_of_the_script_replaces_the_job_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the job")

    class AlreadyThere(Exception):
        error_code = "RESOURCE_ALREADY_EXISTS"

    outcomes: list[Any] = [AlreadyThere(), "7", ValueError("down")]

    def from_env() -> str:
        if isinstance(outcome := outcomes.pop(0), Exception):
            raise outcome
        return outcome

    fluent = _patched(
        "mlflow.tracking.fluent", **JOB_RUN, set_experiment=lambda name: name, _get_experiment_id_from_env=from_env
    )
    assert fluent._get_experiment_id_from_env() == "7"
    with pytest.raises(ValueError, match="down"):
        fluent._get_experiment_id_from_env()
    assert fluent.set_experiment("own") == "own"
    assert "MLFLOW_EXPERIMENT_NAME" not in os.environ


def test_requirements_come_from_this_process() -> None:
    warned: list[list[str]] = []
    environment = _patched(
        "mlflow.utils.environment",
        infer_pip_requirements=lambda *_, **__: ["asked a second Python"],
        warn_dependency_requirement_mismatches=warned.append,
    )
    inferred = environment.infer_pip_requirements("path", "sklearn", fallback=["scikit-learn==1.0", "mlflow==3"])
    assert "scikit-learn==1.0" in inferred
    assert "mlflow==3" not in inferred
    assert environment.infer_pip_requirements("path", "sklearn", uv_project_dir="/p") == ["asked a second Python"]
    pytest_version = pytest.__version__
    environment.warn_dependency_requirement_mismatches([f"pytest=={pytest_version}"])
    assert warned == []
    environment.warn_dependency_requirement_mismatches([f"pytest=={pytest_version}", "pytest==0.1", "nowhere==1", "pytest>=1"])
    assert warned == [["pytest==0.1", "nowhere==1", "pytest>=1"]]


def test_unknown_module_raises() -> None:
    with pytest.raises(ValueError, match=r"mlflow\.nothing"):
        _patched("mlflow.nothing")


def test_torchvision_is_required_only_if_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def demanded(model: Any) -> list[str]:
        return [module._get_pinned_requirement(name) for name in ("torch", "torchvision")]

    module = _patched("mlflow.transformers", _get_pinned_requirement="{}==1".format, get_default_pip_requirements=demanded)
    assert module.get_default_pip_requirements(None) == ["torch==1"]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    assert module.get_default_pip_requirements(None) == ["torch==1", "torchvision==1"]
