"""MLflow's server application, which opens local artifacts in its own directory only.

Any client may create an experiment whose artifacts are at ``file:///anywhere``, and MLflow's server would read and write there
for everybody, as the platform's user: other files of the machine, its own database, and models of others. Raylift's clients use
the server's proxy (``mlflow-artifacts:``), so they need no such location. Stores of other schemes (S3, plugins) are left alone.

``mlflow server --app-name raylift`` finds it by its entry point (pyproject.toml).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

APP_NAME: Final = "raylift"
"""Entry point of the group ``mlflow.app`` (pyproject.toml)."""


def create_app() -> Any:
    """Make the application. Each of the server's processes calls it; the server itself only looks at its type."""
    # Imported here: the process that starts the others needs none of it.
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR
    from mlflow.server.fastapi_app import app
    from mlflow.store.artifact import artifact_repository_registry as registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    own = Path(os.environ[ARTIFACTS_DESTINATION_ENV_VAR].removeprefix("file://")).resolve()  # noqa: TID251 - MLflow's own

    class OwnArtifacts(LocalArtifactRepository):
        """Artifacts below the server's directory."""

        def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
            super().__init__(artifact_uri, tracking_uri, registry_uri)
            if not Path(self.artifact_dir).resolve().is_relative_to(own):
                raise MlflowException(
                    f"MLflow's server does not open {artifact_uri}: local artifacts are below its own directory only. "
                    "Create the experiment without artifact_location.",
                    error_code=PERMISSION_DENIED,
                )

    # Its public way, entry points, would hold for every client in this environment, too.
    known: Any = registry._artifact_repository_registry  # pyright: ignore[reportPrivateUsage]
    for scheme in ("", "file"):
        known.register(scheme, OwnArtifacts)
    return app
