"""Patches MLflow in the script's process. This is the only module here that depends on MLflow's internals (3.17).

- The default serialization of scikit-learn, LightGBM and PyTorch models is one that works for every model.
- A model's requirements are read from this process. MLflow would start another one, which takes seven seconds.
- A model of transformers requires torchvision only if the script has loaded it.
- Each logged model is tagged with its class and kind (tracking/model_tags.py).
- What the script logs outside of its own runs goes to one run of the job (tracking/job_run.py).
- Runs and logged models made through ``MlflowClient`` carry the job's tags, as those of the fluent API do.
- Autologging is on, if the job wants it, for Lightning too. Its failures are noted (tracking/autologging.py).
- Each run has the job's datasets as inputs (tracking/job_data.py).
- The script and its child processes use the job's experiment until the script sets another.

Explicit choices of the user (``serialization_format=``, ``pip_requirements=``, own ``autolog`` calls) stay as they are.
Each function receives the module that has just been executed. This module imports nothing of MLflow, so nothing too early.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any

from job_entrypoints.tracking import autologging, job_run, tracking_uri
from job_entrypoints.tracking.job_data import log_data
from job_entrypoints.tracking.model_requirements import is_installed, process_requirements
from job_entrypoints.tracking.model_tags import tagged_models

_SAFETY = "mlflow.utils.autologging_utils.safety"


def patch(module: ModuleType, instructions: str, script: CodeType) -> None:
    """Patch ``module`` of MLflow, directly after its import."""
    settings: dict[str, Any] = json.loads(instructions)
    match module.__name__:
        case "mlflow":
            if settings["autolog"]:
                autologging.switch_on(module, settings["notes"], log_models=not logs_models(script))
        case "mlflow.sklearn" | "mlflow.lightgbm" | "mlflow.pytorch" | "mlflow.transformers":
            _patch_flavor(module)
        case "mlflow.models.model":
            _replace(module.Model, "log", lambda log: staticmethod(tagged_models(log, lambda: sys.modules.get(_SAFETY))))
        case "mlflow.utils.environment":
            _replace(module, "infer_pip_requirements", lambda original: _inference(original, settings, script.co_filename))
            _replace(module, "warn_dependency_requirement_mismatches", _unless_installed)
        case "mlflow.utils.import_hooks":
            _replace(module, "notify_module_loaded", autologging.postponing)
        case "mlflow.utils.autologging_utils.safety":
            job_run.patch_safety(module)
        case _:
            _patch_tracking(module, settings)


def _patch_flavor(module: ModuleType) -> None:
    match module.__name__:
        case "mlflow.pytorch":
            _replace(module, "_get_default_serialization_format", _pickle_unless_exported)
            autologging.notify_postponed()
        case "mlflow.transformers":
            _replace(module, "_get_pinned_requirement", _unless_torchvision)
            _replace(module, "get_default_pip_requirements", lambda original: lambda model: [*filter(None, original(model))])
        case _:
            # The user did not choose the format, so MLflow's advice to choose another is not for them.
            advice = "pickle or cloudpickle format"
            logging.getLogger(module.__name__).addFilter(lambda record: advice not in record.getMessage())
            _replace(module, "_get_default_serialization_format", lambda _: lambda: "cloudpickle")


def _patch_tracking(module: ModuleType, settings: dict[str, Any]) -> None:
    match module.__name__:
        case "mlflow.tracking.fluent":
            _replace(module, "set_experiment", _in_child_processes_too)
            _replace(module, "_get_experiment_id_from_env", _retry_if_created)
            job_run.patch_fluent(module)
        case "mlflow.tracking._tracking_service.client":
            client = module.TrackingServiceClient
            _replace(client, "create_run", _tagged)
            if settings.get("data"):
                _replace(client, "create_run", lambda create: log_data(create, settings["data"]))
            _replace(client, "create_logged_model", _tagged)
        case "mlflow.tracking._tracking_service.utils":
            watched = tracking_uri.TrackingUri(settings["tracking_uri"], settings["notes"])
            watched.check(os.environ.get("MLFLOW_TRACKING_URI"))
            _replace(module, "set_tracking_uri", watched.after)
        case name:
            raise ValueError(f"{name} is watched, but there is no patch for it")


def logs_models(script: CodeType) -> bool:
    """True if the script calls some ``log_model`` itself. Autologging would then log a second copy of its models."""
    return any("log_model" in code.co_names for code in _code_objects(script))


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute by ``make(original)``. Fails if a new MLflow has renamed it."""
    setattr(owner, name, make(getattr(owner, name)))


def _pickle_unless_exported(original: Callable[[bool], str]) -> Callable[[bool], str]:
    # MLflow's default for PyTorch needs an input_example, which most scripts do not give.
    return lambda export_model: original(export_model) if export_model else "pickle"


def _unless_torchvision(pin: Callable[..., str]) -> Callable[..., str]:
    """Drop the requirement of torchvision unless it is loaded. MLflow adds it to every transformers model on PyTorch."""
    return lambda package, *more: "" if package == "torchvision" and package not in sys.modules else pin(package, *more)


def _inference(original: Callable[..., list[str]], settings: dict[str, Any], script: str) -> Callable[..., list[str]]:
    @functools.wraps(original)
    def infer_pip_requirements(model_uri: str, flavor: str, fallback: list[str] | None = None, **options: Any) -> list[str]:
        if options.get("uv_project_dir"):
            return original(model_uri, flavor, fallback, **options)
        return process_requirements(fallback or (), settings["environment_lock"], script, settings["project"])

    return infer_pip_requirements


def _unless_installed(warn: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """Call MLflow's ``warn`` only for pins that are not installed: it maps every installed module, which takes 0.5 s."""

    def warn_of_others(requirements: list[str]) -> None:
        others = [requirement for requirement in requirements if not is_installed(requirement)]
        if others:
            warn(others)

    return warn_of_others


def _in_child_processes_too(set_experiment: Callable[..., Any]) -> Callable[..., Any]:
    """Remove the job's experiment name from the environment, where MLflow puts the id of the script's own choice."""

    @functools.wraps(set_experiment)
    def set_without_name(*arguments: Any, **named: Any) -> Any:
        experiment = set_experiment(*arguments, **named)
        os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
        return experiment

    return set_without_name


def _retry_if_created(find_or_create: Callable[[], str | None]) -> Callable[[], str | None]:
    """Find the experiment if another job creates it at the same moment."""

    def find_or_retry() -> str | None:
        try:
            return find_or_create()
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                raise
        return find_or_create()

    return find_or_retry


def _tagged(create: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(create)
    def with_tags(*arguments: Any, **named: Any) -> Any:
        context: dict[str, str] = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT", "{}"))
        if "tags" in named or len(arguments) < _TAGS_POSITION[create.__name__]:
            named["tags"] = {**context, **(named.get("tags") or {})}
        else:
            at = _TAGS_POSITION[create.__name__] - 1
            arguments = (*arguments[:at], {**context, **(arguments[at] or {})}, *arguments[at + 1 :])
        return create(*arguments, **named)

    return with_tags


_TAGS_POSITION = {"create_run": 4, "create_logged_model": 5}
"""Position of ``tags`` among the arguments, with self."""


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_objects(constant)
