from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.integration.model_server.replicas import Registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    directory: Path = tmp_path_factory.mktemp("mlflow")
    url = f"sqlite:///{directory}/mlflow.db"
    mlflow.set_tracking_uri(url)
    mlflow.create_experiment("models", artifact_location=(directory / "artifacts").as_uri())
    mlflow.set_experiment("models")
    yield Registry(url, directory)
    mlflow.set_tracking_uri(None)
