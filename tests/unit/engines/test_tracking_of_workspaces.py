from __future__ import annotations

from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.engines.mlflow_engine.tracking import Tracking


def test_workspace_keeps_its_tracking() -> None:
    """It remembers the experiments, which each job's end would list again."""
    default = Tracking("http://mlflow.invalid")
    red = default.of("red")
    assert default.of(DEFAULT_WORKSPACE) is default
    assert default.of("red") is red.of("red") is red
