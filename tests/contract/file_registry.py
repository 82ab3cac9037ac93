"""A registry of models for supervisors in processes of their own: its aliases are in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raylift.domain.models.version import ModelVersion, RegisteredModel
from tests.contract.samples import NOW


class FileRegistry:
    def __init__(self, file: Path) -> None:
        self._file = file

    def aliases(self) -> dict[str, str]:
        return json.loads(self._file.read_text()) if self._file.exists() else {}

    def model(self, name: str) -> RegisteredModel:
        return RegisteredModel(name, NOW, None, aliases=self.aliases())

    def version(self, name: str, version: str) -> ModelVersion:
        return ModelVersion(name, version, NOW, metrics={"auc": int(version) / 10})

    def set_alias(self, name: str, alias: str, version: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self.aliases() | {alias: version}))
        new.replace(self._file)

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)
