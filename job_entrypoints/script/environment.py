"""The environment variables of the script."""

from __future__ import annotations

import json
import os

from job_entrypoints.contract import (
    GPU_VARIABLE,
    GROUP_VARIABLE,
    JOB_ID_VARIABLE,
    RAY_JOB_CONFIG_VARIABLE,
    TAG_ATTEMPT,
    TAG_JOB_ID,
    WORKING_DIRECTORY_VARIABLE,
)
from job_entrypoints.script.command_hooks import hook_pythons_of_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from job_entrypoints.attempt.record import Attempt

THREAD_POOLS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "RAYON_NUM_THREADS",
    "PYTHON_CPU_COUNT",  # os.cpu_count() from Python 3.13 on
)
"""By default libraries start as many threads as the machine has cores. The job asked for ``cpus``."""

_TRACKING_VARIABLES = ("MLFLOW_RUN_CONTEXT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")

_DEFAULTS = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONFAULTHANDLER": "1",  # a crash in C prints a traceback
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",  # about a minute, enough for a restart; MLflow's default waits four
    "GIT_PYTHON_REFRESH": "quiet",
}


def script_environment(attempt: Attempt, inherited: Mapping[str, str]) -> dict[str, str]:
    """Merge what is inherited, the wrapper's defaults and the user's variables. The job's own tracking variables win."""
    environment = {**inherited, **_DEFAULTS}
    environment.pop("MLFLOW_RUN_ID", None)
    # Container images often set it. Every job would compile every library again: seconds for MLflow alone.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    pools = dict.fromkeys(THREAD_POOLS, str(max(1, int(attempt.cpus)))) if attempt.cpus else _pools_like_ray(inherited)
    # Handed straight to Ray, the job inherits the user's runtime_env; otherwise the head's variables, or Ray's guess.
    environment.update({name: inherited.get(name, count) if attempt.from_ray else count for name, count in pools.items()})
    if not attempt.from_ray and not attempt.gpus:
        # Without the variable it would see every GPU of the node. Ray sets it for jobs that ask for some.
        environment[GPU_VARIABLE] = ""
    environment.update(attempt.environment)
    python_path = [*attempt.python_path, environment.get("PYTHONPATH", "")]
    if attempt.python_path:
        environment["PYTHONPATH"] = os.pathsep.join(path for path in python_path if path)
    if attempt.command is not None:
        hook_pythons_of_command(environment, attempt.hook_instructions())
    environment[JOB_ID_VARIABLE] = attempt.job_id
    environment.update(attempt.data_variables)
    own_tags = {TAG_JOB_ID: attempt.job_id, TAG_ATTEMPT: str(attempt.number)}
    environment["MLFLOW_RUN_CONTEXT"] = json.dumps({**_run_context(environment), **attempt.tags, **own_tags})
    if attempt.mlflow_url:
        environment["MLFLOW_TRACKING_URI"] = attempt.mlflow_url
    if attempt.experiment_name:
        environment["MLFLOW_EXPERIMENT_NAME"] = attempt.experiment_name
        environment.pop("MLFLOW_EXPERIMENT_ID", None)
    if not attempt.from_ray:
        _pass_to_tasks(attempt, environment)
    return environment


def _pass_to_tasks(attempt: Attempt, environment: dict[str, str]) -> None:
    """Give the script's Ray tasks and actors its variables and its working directory, as Ray's Jobs API does.

    Their runs belong to the job. The script's own ``ray.init(runtime_env=…)`` wins where both name a variable; Ray would
    refuse it otherwise.
    """
    try:
        config = json.loads(environment.get(RAY_JOB_CONFIG_VARIABLE, "null"))
        runtime_env = config["runtime_env"]
        passed = {
            name: environment[name]
            for name in (*attempt.environment, *attempt.data_variables, *_TRACKING_VARIABLES)
            if name in environment
        }
        passed[WORKING_DIRECTORY_VARIABLE] = attempt.working_directory
        if GROUP_VARIABLE in passed and "RAY_ADDRESS" in environment:
            # Ray Train asks Ray's API from a worker, and would look for a Ray on this machine.
            passed["RAY_ADDRESS"] = environment["RAY_ADDRESS"]
        runtime_env["env_vars"] = {**(runtime_env.get("env_vars") or {}), **passed}
    except (ValueError, TypeError, KeyError, AttributeError):
        return  # Not started by Ray.
    environment[RAY_JOB_CONFIG_VARIABLE] = json.dumps(config)
    environment.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")


def _pools_like_ray(inherited: Mapping[str, str]) -> dict[str, str]:
    # Ray sets OMP_NUM_THREADS from the entrypoint's CPUs; the other pools follow it.
    threads = inherited.get("OMP_NUM_THREADS")
    return dict.fromkeys(THREAD_POOLS, threads) if threads else {}


def _run_context(environment: Mapping[str, str]) -> dict[str, str]:
    try:
        context = json.loads(environment.get("MLFLOW_RUN_CONTEXT", "{}"))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in context.items()} if isinstance(context, dict) else {}
