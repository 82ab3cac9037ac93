"""Installs the hooks when the script imports MLflow, or a library that mlflow.autolog supports."""

from __future__ import annotations

import os
import sys

from job_entrypoints.contract import GROUP_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

AUTOLOGGED = frozenset(
    {
        "keras",
        "lightgbm",
        "lightning",
        "pyspark",
        "pytorch_lightning",
        "setfit",
        "sklearn",
        "statsmodels",
        "tensorflow",
        "transformers",
        "xgboost",
    }
)
"""Training libraries that mlflow.autolog patches: its LIBRARY_TO_AUTOLOG_MODULE, as an integration test proves."""

_PATCHED = frozenset(
    {
        "mlflow",
        "mlflow.lightgbm",
        "mlflow.models.model",
        "mlflow.pytorch",
        "mlflow.sklearn",
        "mlflow.tracking._tracking_service.client",
        "mlflow.tracking._tracking_service.utils",
        "mlflow.tracking.fluent",
        "mlflow.transformers",
        "mlflow.utils.autologging_utils.safety",
        "mlflow.utils.environment",
        "mlflow.utils.import_hooks",
    }
)


_TABLES = frozenset(
    {
        "lightgbm.basic",
        "lightgbm.engine",
        "lightgbm.sklearn",
        "mlflow.models.model",
        "mlflow.models.signature",
        "sklearn.base",
        "xgboost.core",
        "xgboost.sklearn",
        "xgboost.training",
    }
)
"""Modules that tracking/training_table.py patches after their import. MLflow's own hooks come later, on top of these."""


_RAY = "ray"
_SANDBOXED = '"sandboxed": true'


def install(instructions: str, script: Callable[[], CodeType]) -> None:
    """Watch this process's imports. ``instructions`` (JSON) is parsed, and ``script`` called, only when needed."""
    sys.meta_path.insert(0, ImportWatch(instructions, script))


class ImportWatch:
    """A meta path finder that finds nothing itself, and patches what the other finders find."""

    def __init__(self, instructions: str, script: Callable[[], CodeType]) -> None:
        self._instructions = instructions
        self._script = script
        self._autolog: bool | None = None
        """True while the import of a training library has to import MLflow first; None until the instructions are read."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in AUTOLOGGED and self._must_import_mlflow():
            # Before the library's own import begins, so nothing is half imported. That installs MLflow's import hooks, which
            # this search has not asked: so it begins again.
            _attempt(lambda: __import__("mlflow"))
            return self._real_spec(name, path, target)
        is_ray = name == _RAY and (_SANDBOXED in self._instructions or GROUP_VARIABLE in os.environ)
        if name not in _PATCHED and name not in _TABLES and not is_ray:
            return None
        spec = self._real_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _attempt(lambda: _run_after(spec, self._patch))
        return spec

    def _must_import_mlflow(self) -> bool:
        if self._autolog is None:
            self._autolog = '"autolog": true' in self._instructions
        wanted, self._autolog = self._autolog, False
        return wanted

    def _real_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None and (spec := find(name, path, target)) is not None:
                return spec
        return None

    def _patch(self, module: ModuleType) -> None:
        if module.__name__ == _RAY and _SANDBOXED not in self._instructions:
            from job_entrypoints.gang.worker import keep_in_group

            keep_in_group()
        elif module.__name__ == _RAY:
            from job_entrypoints.sandbox.no_ray import refuse_init

            refuse_init(module)
        if module.__name__ in _TABLES:
            from job_entrypoints.tracking import training_table

            training_table.patch(module)
        if module.__name__ in _PATCHED:
            from job_entrypoints.tracking import mlflow_hooks

            mlflow_hooks.patch(module, self._instructions, self._script())


def _run_after(spec: ModuleSpec, patch: Callable[[ModuleType], None]) -> None:
    execute = spec.loader.exec_module  # type: ignore[union-attr]

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _attempt(lambda: patch(module))

    # Only on the loader of this one module.
    spec.loader.exec_module = exec_module  # type: ignore[union-attr,method-assign]


def _attempt(step: Callable[[], object]) -> None:
    """Run a step of the hooks. If it fails, the script goes on."""
    try:
        step()
    except Exception as error:  # noqa: BLE001
        print(f"[raylift] a tracking hook failed, the script goes on without it: {error!r}", file=sys.stderr)  # noqa: T201
