"""The API's own view types accept everything that the server serializes."""

from __future__ import annotations

import importlib
import math
import pkgutil
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge
from pydantic import AllowInfNan, BaseModel
from pydantic.fields import FieldInfo

import raylift.api
from raylift.api.training import JobView
from tests.unit.job_resource import job_resource

_PLAIN = {type(None): None, str: "text", int: 3, bool: True, datetime: datetime(2026, 1, 2, tzinfo=UTC)}


def _views() -> list[type[BaseModel]]:
    """Schemas of answers. Schemas of requests refuse unknown fields."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(raylift.api.__path__, "raylift.api.")]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.model_config.get("extra") != "forbid"
    }
    return sorted(found - {BaseModel}, key=lambda view: view.__name__)


def _sample(kind: Any, number: float) -> Any:
    """A value of the annotation. ``number`` is used for each float."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _sample(arguments[0], number)
    if origin in (Union, UnionType):
        return _sample(float if float in arguments else arguments[0], number)
    if origin is Literal:
        return arguments[0]
    if origin is list:
        return [_sample(arguments[0], number)]
    if origin is dict:
        return {_sample(arguments[0], number): _sample(arguments[1], number)}
    if kind in (float, Any):
        return number
    if issubclass(kind, BaseModel):
        if kind.model_config.get("extra") == "forbid":
            number = 0.5  # Also used in requests, which take finite numbers only.
        return kind.model_construct(**{name: _sample_of(field, number) for name, field in kind.model_fields.items()})
    return _PLAIN[kind]


def _sample_of(field: FieldInfo, number: float) -> Any:
    least = [limit.ge for limit in field.metadata if isinstance(limit, Ge)]
    return least[0] if field.annotation is int and least else _sample(field.annotation, _of(field, number))


def _of(field: FieldInfo, number: float) -> float:
    """Return ``number``, or one that a field of finite numbers may have."""
    return 0.5 if AllowInfNan(allow_inf_nan=False) in field.metadata else number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.5], ids=str)
@pytest.mark.parametrize("view", _views(), ids=lambda view: view.__name__)
def test_every_view_reads_its_own_json(view: type[BaseModel], number: float) -> None:
    wire = _sample(view, number).model_dump_json(by_alias=True)
    assert view.model_validate_json(wire).model_dump_json(by_alias=True) == wire


def test_nan_metric_survives_json() -> None:
    seen = JobView.model_validate(job_resource("completed", metrics={"f1": 0.5, "auc": None}))
    assert (seen.metrics["f1"], math.isnan(seen.metrics["auc"])) == (0.5, True)
