from __future__ import annotations

import json
from typing import Any

from job_entrypoints.attempt.record import Attempt
from job_entrypoints.script.environment import THREAD_POOLS, script_environment
from raylift.ray_internals.setup_worker import WORKING_DIRECTORY


def _attempt(**record: Any) -> Attempt:
    return Attempt("/attempts/x", {"job_id": "job_1", "script": "a.py", **record})


def test_values_of_the_user_win_over_ours_and_inherited_ones() -> None:
    environment = script_environment(
        _attempt(cpus=2.9, environment={"MKL_NUM_THREADS": "9", "PYTHONUNBUFFERED": "0"}),
        {"OMP_NUM_THREADS": "64", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7", "RAY_ADDRESS": "1.2.3.4:1"},
    )
    assert {environment[name] for name in THREAD_POOLS if name != "MKL_NUM_THREADS"} == {"2"}
    assert (environment["MKL_NUM_THREADS"], environment["PYTHONUNBUFFERED"]) == ("9", "0")
    assert environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert environment["RAY_ADDRESS"] == "1.2.3.4:1"


def test_ray_tasks_have_the_job_s_variables_and_tracking() -> None:
    inherited = {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {"env_vars": {"A": "1"}}, "metadata": {"m": "x"}})}
    environment = script_environment(_attempt(environment={"SECRET": "s"}, mlflow_url="http://mlflow"), inherited)
    config = json.loads(environment["RAY_JOB_CONFIG_JSON_ENV_VAR"])
    variables = config["runtime_env"]["env_vars"]
    assert (variables["A"], variables["SECRET"], variables["MLFLOW_TRACKING_URI"]) == ("1", "s", "http://mlflow")
    assert "raylift.job_id" in variables["MLFLOW_RUN_CONTEXT"]
    assert variables[WORKING_DIRECTORY] == "/attempts/x/work"
    assert config["metadata"] == {"m": "x"}
    assert environment["RAY_OVERRIDE_JOB_RUNTIME_ENV"] == "1"
    direct = script_environment(_attempt(origin="ray", environment={"SECRET": "s"}), inherited)
    assert direct["RAY_JOB_CONFIG_JSON_ENV_VAR"] == inherited["RAY_JOB_CONFIG_JSON_ENV_VAR"]


def test_less_than_one_cpu_is_one_thread() -> None:
    assert script_environment(_attempt(cpus=0.25), {})["OMP_NUM_THREADS"] == "1"


def test_tags_that_find_the_job_s_runs_cannot_be_overridden() -> None:
    environment = script_environment(
        _attempt(
            mlflow_url="http://mlflow",
            experiment_name="exp",
            tags={"team": "blue", "raylift.job_id": "other"},
            environment={
                "MLFLOW_TRACKING_URI": "http://elsewhere",
                "MLFLOW_EXPERIMENT_ID": "7",
                "RAYLIFT_JOB_ID": "other",
                "MLFLOW_RUN_CONTEXT": '{"mine": "1", "raylift.job_id": "other"}',
            },
        ),
        {"MLFLOW_RUN_ID": "abc", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow"
    assert environment["MLFLOW_EXPERIMENT_NAME"] == "exp"
    assert environment["RAYLIFT_JOB_ID"] == "job_1"
    tags = {"mine": "1", "team": "blue", "raylift.job_id": "job_1", "raylift.attempt": "1"}
    assert json.loads(environment["MLFLOW_RUN_CONTEXT"]) == tags
    assert not {"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "PYTHONDONTWRITEBYTECODE"} & environment.keys()


def test_run_context_that_is_no_object_is_replaced() -> None:
    for nonsense in ("{", "[1]", "3"):
        environment = script_environment(_attempt(environment={"MLFLOW_RUN_CONTEXT": nonsense}), {})
        assert json.loads(environment["MLFLOW_RUN_CONTEXT"]) == {"raylift.job_id": "job_1", "raylift.attempt": "1"}


def test_inherited_variables_are_kept_for_direct_submissions() -> None:
    unknown = script_environment(_attempt(origin="ray"), {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "5"})
    assert (unknown["OMP_NUM_THREADS"], unknown["MKL_NUM_THREADS"], unknown["LOKY_MAX_CPU_COUNT"]) == ("3", "5", "3")
    assert "OMP_NUM_THREADS" not in script_environment(_attempt(origin="ray"), {})
    assert script_environment(_attempt(origin="ray", cpus=2), {"MKL_NUM_THREADS": "5"})["MKL_NUM_THREADS"] == "5"


def test_script_sees_the_gpus_that_it_asked_for_and_no_others() -> None:
    assert script_environment(_attempt(gpus=1.0), {"CUDA_VISIBLE_DEVICES": "3"})["CUDA_VISIBLE_DEVICES"] == "3"
    assert script_environment(_attempt(), {"CUDA_VISIBLE_DEVICES": "3"})["CUDA_VISIBLE_DEVICES"] == ""
    assert script_environment(_attempt(), {})["CUDA_VISIBLE_DEVICES"] == ""
    direct = script_environment(_attempt(origin="ray"), {"CUDA_VISIBLE_DEVICES": "3"})
    assert direct["CUDA_VISIBLE_DEVICES"] == "3", "Ray knows what it asked for, and the platform does not"
