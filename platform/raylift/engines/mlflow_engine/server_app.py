"""MLflow's server application, which opens local artifacts in its own directory only.

Any client may create an experiment whose artifacts are at ``file:///anywhere``, and MLflow's server would read and write there
for everybody, as the platform's user: other files of the machine, its own database, and models of others. Raylift's clients use
the server's proxy (``mlflow-artifacts:``), so they need no such location. Stores of other schemes (S3, plugins) are left alone.

With workspaces, a request opens artifacts of its own workspace only.

``mlflow server --app-name raylift`` finds it by its entry point (pyproject.toml).
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any, Final

from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.engines.mlflow_engine.scoped_app import ScopedApp

APP_NAME: Final = "raylift"
"""Entry point of the group ``mlflow.app`` (pyproject.toml)."""


_WORKSPACES: Final = "workspaces"
"""MLflow keeps the artifacts of workspaces below this directory: those of the default one, too, if it was made with them."""


def create_app() -> ScopedApp:
    """Make the application. Each of the server's processes calls it; the server itself only looks at its type."""
    # Imported here: the process that starts the others needs none of it.
    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR
    from mlflow.server.fastapi_app import app

    has_workspaces = MLFLOW_ENABLE_WORKSPACES.get()
    own = Path(os.environ[ARTIFACTS_DESTINATION_ENV_VAR].removeprefix("file://")).resolve()  # noqa: TID251 - MLflow's own
    _keep_to(own, has_workspaces=has_workspaces)
    if has_workspaces:
        _check_proxied_paths()
    return ScopedApp(app, _make_workspace if has_workspaces else None)


def _keep_to(own: Path, *, has_workspaces: bool) -> None:
    """Let the server open local artifacts below ``own`` only, and there those of the request's workspace."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
    from mlflow.store.artifact import artifact_repository_registry as registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.utils.workspace_context import get_request_workspace

    def is_open(directory: Path) -> bool:
        if not has_workspaces or directory == own:  # The root is the proxy's; the paths in it are checked.
            return directory.is_relative_to(own)
        workspace = get_request_workspace()
        if workspace not in (None, DEFAULT_WORKSPACE):
            return directory.is_relative_to(own / _WORKSPACES / workspace)
        others = directory.is_relative_to(own / _WORKSPACES) and not directory.is_relative_to(
            own / _WORKSPACES / DEFAULT_WORKSPACE
        )
        return directory.is_relative_to(own) and not others

    class OwnArtifacts(LocalArtifactRepository):
        """Artifacts below the server's directory."""

        def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
            super().__init__(artifact_uri, tracking_uri, registry_uri)
            if not is_open(Path(self.artifact_dir).resolve()):
                raise MlflowException(
                    f"MLflow's server does not open {artifact_uri}: local artifacts are below its own directory only. "
                    "Create the experiment without artifact_location.",
                    error_code=PERMISSION_DENIED,
                )

    # Its public way, entry points, would hold for every client in this environment, too.
    known: Any = registry._artifact_repository_registry  # pyright: ignore[reportPrivateUsage]
    for scheme in ("", "file"):
        known.register(scheme, OwnArtifacts)


def _check_proxied_paths() -> None:
    """Refuse paths of the proxy that lead from the default workspace into the directory of the others.

    MLflow looks at the beginning of the text only: it lets ``workspaces``, ``./workspaces/b`` and ``.`` pass.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
    from mlflow.server import handlers
    from mlflow.utils.workspace_context import get_request_workspace

    scoped = handlers._get_workspace_scoped_repo_path_if_enabled  # pyright: ignore[reportPrivateUsage]

    def checked(artifact_path: str | None) -> str | None:
        # In lower case: the file system may take both as one.
        first, *rest = posixpath.normpath(artifact_path.lstrip("/")).split("/") if artifact_path else [""]
        # The default workspace has a directory there, too, for experiments that were made with workspaces.
        is_of_others = first.lower() == _WORKSPACES and rest[:1] != [DEFAULT_WORKSPACE]
        if first == "." or (is_of_others and get_request_workspace() in (None, DEFAULT_WORKSPACE)):
            raise MlflowException(f"No such artifact: '{artifact_path}'", error_code=RESOURCE_DOES_NOT_EXIST)
        return scoped(artifact_path)

    handlers._get_workspace_scoped_repo_path_if_enabled = checked  # pyright: ignore[reportPrivateUsage]


def _make_workspace(name: str, title: str) -> None:
    from mlflow.entities import Workspace
    from mlflow.exceptions import MlflowException
    from mlflow.server.workspace_helpers import _get_workspace_store  # pyright: ignore[reportPrivateUsage]

    workspaces = _get_workspace_store()
    if name in {each.name for each in workspaces.list_workspaces()}:
        return
    try:
        workspaces.create_workspace(Workspace(name=name, description=None if name == title else title))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # Another process of the server was faster.
            raise
