"""The requests of the soak test: one of each protocol and route, and the comparison of an answer with the library's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from soak_models import LARGE, Expected, Inputs, SoakModel

ALIAS = "champion"
VERSION_HEADER = "X-Raylift-Model-Version"


@dataclass(frozen=True)
class Asked:
    """A request, and the comparison of its answer."""

    kind: str
    model: SoakModel
    inputs: Inputs
    path: str
    body: bytes
    read: Callable[[Any, Expected], bool]
    """Returns True if a parsed answer equals the library's."""
    version: str | None = None
    """Version that must answer. None: any version; a header of the answer names it."""

    def wrong(self, version: str | None, content: bytes) -> str | None:
        """Describe the difference in an answer with status 200. None: it is right."""
        if version is None or (self.version is not None and version != self.version):
            return f"version {version} answered for version {self.version}"
        expected = self.model.expected[int(version) - 1][self.inputs.name]
        return None if self.read(orjson.loads(content), expected) else f"version {version} said {content[:200]!r}"


def some_request(chance: random.Random, models: list[SoakModel], inputs: dict[str, Inputs]) -> Asked:
    """A random request."""
    model = chance.choice(models)
    kind = chance.choice(_KINDS)
    asked = inputs[chance.choice(list(inputs))]
    if len(asked.rows) == LARGE and chance.random() < 0.5:
        asked = inputs[next(iter(inputs))]
    return kind(chance, model, asked)


def _version_route(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    version = chance.choice(model.answering)
    path = f"/v2/models/{model.name}/versions/{version}/predict"
    with_probabilities = model.name != "function"
    body = {"inputs": inputs.rows, "return_probabilities": with_probabilities}
    return Asked("version route", model, inputs, path, orjson.dumps(body), _own, version)


def _inference(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    return Asked("/mlops/inference", model, inputs, "/mlops/inference", _named(model, inputs), _own)


def _inference_version(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    version = chance.choice(model.answering)
    body = _named(model, inputs, model_version=version)
    return Asked("/mlops/inference, a version", model, inputs, "/mlops/inference", body, _own, version)


def _inference_alias(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    body = _named(model, inputs, alias=ALIAS)
    return Asked("/mlops/inference, an alias", model, inputs, "/mlops/inference", body, _own)


def _v2(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    version = chance.choice([None, *model.answering])
    tensor = {"name": "x", "shape": [len(inputs.rows), len(inputs.rows[0])], "datatype": "FP64", "data": inputs.rows}
    body = orjson.dumps({"inputs": [tensor]})
    return Asked("V2", model, inputs, _route(model, version) + "/infer", body, _tensor, version)


def _scoring(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    version = chance.choice([None, *model.answering])
    split = {"columns": [f"f{number}" for number in range(len(inputs.rows[0]))], "data": inputs.rows}
    body = orjson.dumps({"dataframe_split": split} if model.is_named else {"inputs": inputs.rows})
    return Asked("MLflow scoring", model, inputs, _route(model, version) + "/invocations", body, _predictions, version)


def _kserve(chance: random.Random, model: SoakModel, inputs: Inputs) -> Asked:
    body = orjson.dumps({"instances": inputs.rows})
    return Asked("KServe V1", model, inputs, f"/v1/models/{model.name}:predict", body, _predictions)


_KINDS = (
    *[_version_route] * 3,
    *[_inference] * 2,
    _inference_version,
    _inference_alias,
    _v2,
    _scoring,
    _kserve,
)


def _named(model: SoakModel, inputs: Inputs, **chosen: str) -> bytes:
    return orjson.dumps({"model_name": model.name, "inputs": inputs.rows, **chosen})


def _route(model: SoakModel, version: str | None) -> str:
    return f"/v2/models/{model.name}" + (f"/versions/{version}" if version else "")


def _own(answer: Any, expected: Expected) -> bool:
    probabilities = answer.get("probabilities")
    return answer["predictions"] == expected.predictions and probabilities in (None, expected.probabilities)


def _tensor(answer: Any, expected: Expected) -> bool:
    return answer["outputs"][0]["data"] == expected.predictions


def _predictions(answer: Any, expected: Expected) -> bool:
    # MLflow returns a series as records of one column.
    said = [row["0"] if isinstance(row, dict) else row for row in answer["predictions"]]
    return said == expected.predictions
