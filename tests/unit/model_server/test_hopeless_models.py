"""The phrase that marks a model for which no request can be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from raylift.domain.models.replica import CANNOT_ANSWER
from serve_apps.model_server.inputs.features import UnknownTable
from serve_apps.model_server.loading import loader
from serve_apps.model_server.predictors.cannot_answer import CannotAnswer, not_fitted


@pytest.mark.parametrize(
    ("error", "is_hopeless"),
    [
        (UnknownTable("Its file does not have the categories."), True),
        (not_fitted(object()), True),
        (TimeoutError("MLflow is away"), False),
    ],
)
def test_model_without_a_possible_request_is_marked(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_hopeless: bool
) -> None:
    def fails(name: str, version: str, path: Path) -> None:
        raise error

    monkeypatch.setattr(loader, "download", lambda *_: (Path("nowhere"), {}))
    monkeypatch.setattr(loader, "load_directory", fails)
    with pytest.raises(RuntimeError) as caught:
        loader.load_model("m", "1", "models:/m/1", "http://mlflow.test")
    assert (CANNOT_ANSWER in str(caught.value)) is is_hopeless
    assert str(error) in str(caught.value)
    assert not isinstance(caught.value, CannotAnswer)
