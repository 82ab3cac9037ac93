"""Schemas of ``POST /mlops/inference``, for documentation and types. Only the replica parses the body."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure

Scalar = float | int | str | bool | None


class InferenceRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_name: str
    model_version: Annotated[str | int | None, Field(description="Without this and alias: the newest ready version.")] = None
    alias: Annotated[str | None, Field(description="An MLflow alias, e.g. champion.")] = None
    inputs: Annotated[
        dict[str, Any] | list[Any],
        Field(description="Columns {name: [values]}, records [{name: value}] or rows [[values]]; scalar columns are one row."),
    ]
    return_probabilities: bool = False
    params: dict[str, Any] = {}


class InferenceResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    predictions: list[Any]
    probabilities: Annotated[list[list[Figure]] | None, Field(description="A row per input row; only if requested.")] = None
    classes: Annotated[list[Scalar] | None, Field(description="The class of each column of probabilities.")] = None
    inference_time_ms: Figure
