"""Autologging is switched on in time, and its failures are noted."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from job_entrypoints.attempt.notes import AUTOLOG_FAILURE, read_notes
from job_entrypoints.script.end import library_of
from job_entrypoints.tracking import autologging


def test_lightning_waits_until_mlflow_pytorch_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    notify = autologging.postponing(lambda module: told.append(module.__name__))
    spec = SimpleNamespace(_initializing=True)
    monkeypatch.setitem(sys.modules, "mlflow.pytorch", SimpleNamespace(__spec__=spec))  # type: ignore[arg-type]
    notify(ModuleType("sklearn"))
    notify(ModuleType("pytorch_lightning"))
    assert told == ["sklearn"]
    autologging.notify_postponed()
    autologging.notify_postponed()
    assert told == ["sklearn", "pytorch_lightning"]
    spec._initializing = False
    notify(ModuleType("lightning"))
    assert told[-1] == "lightning"


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        ("Exception raised while enabling autologging for keras: no module", "keras: no module"),
        ("Encountered unexpected error during sklearn autologging: no disk", "sklearn: no disk"),
        ("Encountered unexpected error during autologging: no disk", "MLflow: no disk"),
        ("Unable to infer the signature", None),
    ],
)
def test_autologging_failure_is_noted(tmp_path: Path, said: str, noted: str | None) -> None:
    notes = str(tmp_path / "script.json")
    autologging.switch_on(SimpleNamespace(autolog=lambda **_: None), notes, log_models=True)
    logger = logging.getLogger("mlflow.tracking.fluent")
    try:
        logger.warning("%s", said)
    finally:
        for name in ("mlflow.tracking.fluent", "mlflow.utils.autologging_utils"):
            logging.getLogger(name).filters.clear()
    assert read_notes(notes).get(AUTOLOG_FAILURE) == noted


def test_failure_names_the_library_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "train.py"
    for name in ("torch", "transformers", "sklearn"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    script.write_text("import torch.nn as nn")
    assert library_of(str(script)) == "torch"
    other = tmp_path / "other.py"
    other.write_text("import my_own_module")
    assert library_of(str(other)) == "transformers"
