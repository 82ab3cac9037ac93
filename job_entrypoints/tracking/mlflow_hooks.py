"""What is changed in MLflow, in the script's process only. The one module here that knows MLflow (3.17).

- the default serialization of scikit-learn, LightGBM and PyTorch models is one that works for every model;
- a model's requirements are read off this process instead of in a new one, which takes MLflow seven seconds;
- a model of transformers demands torchvision only where it was loaded;
- each logged model is tagged with its class and kind (tracking/model_tags.py);
- what the script logs outside of a run of its own goes to one run of the job (tracking/job_run.py);
- runs and logged models made through ``MlflowClient`` carry the job's tags as those of the fluent API do;
- autologging is on, if the job wants it, for Lightning too; where it fails, that is noted (tracking/autologging.py);
- the job's experiment is the script's until it sets another, in its child processes too.

Nothing that the user says explicitly (``serialization_format=``, ``pip_requirements=``, own ``autolog`` calls) is changed.
Each function gets the module that has just been executed: no import of MLflow happens here, so none can come too early.
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

from job_entrypoints.tracking import autologging, elsewhere, job_run
from job_entrypoints.tracking.model_requirements import is_installed, process_requirements
from job_entrypoints.tracking.model_tags import tagged_models

_SAFETY = "mlflow.utils.autologging_utils.safety"


def patch(module: ModuleType, instructions: str, script: CodeType) -> None:
    """Change ``module`` of MLflow, directly after its import."""
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
        case name if name.startswith("mlflow.tracking."):
            _patch_tracking(module, settings)
        case name:
            raise ValueError(f"{name} is watched, but nothing is to be changed in it")


def _patch_flavor(module: ModuleType) -> None:
    match module.__name__:
        case "mlflow.pytorch":
            _replace(module, "_get_default_serialization_format", _pickle_unless_exported)
            autologging.tell_postponed()
        case "mlflow.transformers":
            _replace(module, "_get_pinned_requirement", _none_of_torchvision)
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
            _replace(module, "_get_experiment_id_from_env", _made_by_another_job)
            job_run.patch_fluent(module)
        case "mlflow.tracking._tracking_service.client":
            client = module.TrackingServiceClient
            _replace(client, "create_run", _tagged)
            _replace(client, "create_logged_model", _tagged)
        case "mlflow.tracking._tracking_service.utils":
            note = elsewhere.Elsewhere(settings["tracking_uri"], settings["notes"])
            note.look(os.environ.get("MLFLOW_TRACKING_URI"))
            _replace(module, "set_tracking_uri", note.after)
        case name:
            raise ValueError(f"{name} is watched, but nothing is to be changed in it")


def logs_models(script: CodeType) -> bool:
    """Whether the script calls some ``log_model`` itself: then autologging the same models again is only a second copy."""
    return any("log_model" in code.co_names for code in _code_objects(script))


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of an attribute that must exist: a new MLflow that renamed it is to be noticed."""
    setattr(owner, name, make(getattr(owner, name)))


def _pickle_unless_exported(original: Callable[[bool], str]) -> Callable[[bool], str]:
    # PyTorch's default needs an input_example, which most scripts do not give.
    return lambda export_model: original(export_model) if export_model else "pickle"


def _none_of_torchvision(pin: Callable[..., str]) -> Callable[..., str]:
    """MLflow demands torchvision of every transformers model on PyTorch; only those of images have it loaded."""
    return lambda package, *more: "" if package == "torchvision" and package not in sys.modules else pin(package, *more)


def _inference(original: Callable[..., list[str]], settings: dict[str, Any], script: str) -> Callable[..., list[str]]:
    @functools.wraps(original)
    def infer_pip_requirements(model_uri: str, flavor: str, fallback: list[str] | None = None, **options: Any) -> list[str]:
        if options.get("uv_project_dir"):
            return original(model_uri, flavor, fallback, **options)
        return process_requirements(fallback or (), settings["environment_lock"], script, settings["project"])

    return infer_pip_requirements


def _unless_installed(warn: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """MLflow compares pins with a map of every installed module, half a second; most often a look at the pins is enough."""

    def warn_of_the_others(requirements: list[str]) -> None:
        others = [requirement for requirement in requirements if not is_installed(requirement)]
        if others:
            warn(others)

    return warn_of_the_others


def _in_child_processes_too(set_experiment: Callable[..., Any]) -> Callable[..., Any]:
    """MLflow puts the script's own choice into the environment as an id; there it would contradict the job's name for it."""

    @functools.wraps(set_experiment)
    def set_and_forget_the_jobs(*arguments: Any, **named: Any) -> Any:
        experiment = set_experiment(*arguments, **named)
        os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
        return experiment

    return set_and_forget_the_jobs


def _made_by_another_job(find_or_create: Callable[[], str | None]) -> Callable[[], str | None]:
    """Two jobs of one new experiment start at once: the one that comes second to its creation finds it."""

    def find_or_create_or_find() -> str | None:
        try:
            return find_or_create()
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                raise
        return find_or_create()

    return find_or_create_or_find


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
"""How many positional arguments (self included) reach as far as ``tags``."""


def _code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_objects(constant)
