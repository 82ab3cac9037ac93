"""The installed MLflow has every name and text that the tracking hooks rely on. Reads its source, so needs no PyTorch."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path
from typing import Final

import pytest

NAMES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "mlflow": {"autolog": ("log_models", "log_traces")},
    "mlflow.entities": {"Dataset": (), "DatasetInput": (), "InputTag": ()},
    "mlflow.lightgbm": {"_get_default_serialization_format": ()},
    "mlflow.models.model": {"Model.log": (), "Model.save": ("self", "path")},
    "mlflow.models.signature": {"infer_signature": ("model_input",)},
    "mlflow.pytorch": {"_get_default_serialization_format": ("export_model",)},
    "mlflow.sklearn": {"_get_default_serialization_format": ()},
    "mlflow.tracking._tracking_service.client": {
        "TrackingServiceClient.create_logged_model": ("self", "experiment_id", "name", "source_run_id", "tags"),
        "TrackingServiceClient.create_run": ("self", "experiment_id", "start_time", "tags"),
        "TrackingServiceClient.log_inputs": ("self", "run_id", "datasets"),
    },
    "mlflow.tracking._tracking_service.utils": {"set_tracking_uri": ("uri",)},
    "mlflow.tracking.fluent": {
        "MlflowClient": (),
        "MlflowException": (),
        "_active_experiment_id": (),
        "_get_experiment_id_from_env": (),
        "_get_or_start_run": (),
        "_resolve_tracking_uri": (),
        "active_run": (),
        "end_run": ("status",),
        "log_metric": ("key",),
        "log_metrics": ("metrics",),
        "set_experiment": (),
        "set_tags": ("tags",),
        "start_run": ("run_id",),
    },
    "mlflow.transformers": {"_get_pinned_requirement": (), "get_default_pip_requirements": ("model",)},
    "mlflow.utils.autologging_utils": {"_has_active_training_session": ()},
    "mlflow.utils.autologging_utils.safety": {
        "_AutologgingSessionManager.active_session": (),
        "mlflow": (),
        "with_managed_run": ("autologging_integration", "patch_function", "tags"),
    },
    "mlflow.utils.environment": {
        "infer_pip_requirements": ("model_uri", "flavor", "fallback"),
        "warn_dependency_requirement_mismatches": ("model_requirements",),
    },
    "mlflow.utils.import_hooks": {"notify_module_loaded": ("module",)},
}
"""Names of MLflow that the hooks replace or call, by module. Each has the first parameters that the hooks rely on."""

TEXTS: Final = [
    ("mlflow.tracking.fluent", "Exception raised while enabling autologging for %s: %s"),
    ("mlflow.utils.autologging_utils.safety", "Encountered unexpected error during {} autologging: {}"),
    ("mlflow.utils.autologging_utils.safety", "Encountered unexpected error during autologging: %s"),
    ("mlflow.sklearn", "pickle or cloudpickle format"),
    ("mlflow.lightgbm", "pickle or cloudpickle format"),
    ("mlflow.environment_variables", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"),
    ("mlflow.environment_variables", "MLFLOW_DISABLE_TELEMETRY"),
    ("mlflow.environment_variables", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"),
    ("mlflow.environment_variables", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"),
    ("mlflow.environment_variables", "MLFLOW_HTTP_REQUEST_TIMEOUT"),
    ("mlflow.environment_variables", "MLFLOW_RUN_CONTEXT"),
    ("mlflow.environment_variables", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"),
    ("mlflow.environment_variables", "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK"),
    ("mlflow.environment_variables", "MLFLOW_UV_AUTO_DETECT"),
    ("mlflow.utils.mlflow_tags", "mlflow.log-model.history"),
    ("mlflow.utils.mlflow_tags", "mlflow.data.context"),
    ("mlflow.utils.mlflow_tags", "mlflow.parentRunId"),
]
"""Log messages, environment variables and tags of MLflow that Raylift reads or sets, by module."""

HOOKS: Final = Path(__file__).parents[3] / "job_entrypoints" / "tracking"


@functools.cache
def source_of(module: str) -> ast.Module | None:
    """The parsed source of a module of MLflow, without importing it. None if there is no such module."""
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *module.split(".")[1:])
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


def definitions(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The statements that bind names, by name, those below ``if`` and ``try`` included."""
    found: dict[str, ast.stmt] = {}
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = statement
            case ast.Assign(targets=targets):
                found |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = statement
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                found |= {(alias.asname or alias.name).partition(".")[0]: statement for alias in aliases}
            case ast.If() | ast.Try():
                found |= definitions(statement.body)
            case _:
                pass
    return found


def find(module: str, name: str) -> ast.stmt:
    tree = source_of(module)
    assert tree is not None, f"MLflow has no module {module}"
    body = tree.body
    *owners, last = name.split(".")
    for owner in owners:
        within = definitions(body).get(owner)
        assert isinstance(within, ast.ClassDef), f"{module} has no class {owner}"
        body = within.body
    found = definitions(body).get(last)
    assert found is not None, f"{module} has no {name}"
    return found


def parameters(function: ast.stmt) -> list[str]:
    assert isinstance(function, ast.FunctionDef)
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_mlflow_has_the_name(module: str, name: str) -> None:
    found = find(module, name)
    expected = NAMES[module][name]
    if isinstance(found, ast.FunctionDef) and expected:
        there = parameters(found)
        if module == "mlflow":
            assert set(expected) <= set(there)
        else:
            assert there[: len(expected)] == list(expected)


@pytest.mark.parametrize(("module", "text"), TEXTS)
def test_mlflow_has_the_text(module: str, text: str) -> None:
    tree = source_of(module)
    assert tree is not None, f"MLflow has no module {module}"
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    assert any(text in constant for constant in constants), f"{module} does not say {text!r} any more"


def test_every_module_that_the_hooks_name_is_listed() -> None:
    constants = {
        node.value
        for file in HOOKS.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("mlflow.")
    }
    modules = {name for name in constants if all(map(str.isidentifier, name.split("."))) and source_of(name)}
    assert modules - set(NAMES) == set()
