"""Numerical libraries recorded at training, compared with the replica's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from job_entrypoints.tracking.numerics import numerics
from serve_apps.model_server.codecs.open_inference.metadata import metadata
from serve_apps.model_server.loading.loader import load_directory


def said(directory: Path, trained: dict[str, Any] | None) -> Any:
    """The note in the V2 metadata of a model that was trained with these numerics."""
    mlflow.sklearn.save_model(LinearRegression().fit([[0.0], [1.0]], [0, 1]), directory, serialization_format="cloudpickle")
    if trained is not None:
        record = {"version": 1, "source": "none", "numerics": trained}
        (directory / "raylift_table.json").write_text(json.dumps(record))
    return json.loads(metadata(load_directory("m", "1", directory)).body)["parameters"]["other_numerics"]


def test_replica_with_other_numerics_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sentence = said(tmp_path / "model", {"numpy": "1.26.4", "blas": []})
    assert f"trained with NumPy 1.26.4; this replica computes with NumPy {np.__version__}" in sentence
    assert sentence in caplog.text


def test_replica_with_the_same_numerics_says_nothing(tmp_path: Path) -> None:
    assert said(tmp_path / "model", numerics()) is None


def test_version_without_recorded_numerics_says_nothing(tmp_path: Path) -> None:
    assert said(tmp_path / "model", None) is None
