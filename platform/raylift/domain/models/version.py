"""Registered models and their versions, runs and logged models, as MLflow keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model. Times are UTC and timezone-aware."""

    name: str
    created_at: datetime
    updated_at: datetime | None = None
    description: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """alias → version"""
    latest_version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def aliases_of(self, version: str) -> tuple[str, ...]:
        """Return the aliases of one version, sorted. MLflow's list of versions does not have them."""
        return tuple(sorted(alias for alias, target in self.aliases.items() if target == version))


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: str
    created_at: datetime
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    run_id: str | None = None
    source: str | None = None
    """URI of its artifacts, e.g. ``models:/m-…``."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    status: str = "READY"
    """MLflow's own value."""

    @property
    def uri(self) -> str:
        """MLflow URI that a replica loads."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class InputColumn:
    name: str
    type: str
    """MLflow's name: long, double, string, boolean, datetime, array, object and so on."""
    required: bool


@dataclass(frozen=True, slots=True)
class InputTensor:
    name: str | None
    dtype: str
    shape: tuple[int, ...]
    """-1: any length."""


@dataclass(frozen=True, slots=True)
class ModelParameter:
    name: str
    type: str
    default: Any


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Inputs of a version: named columns, or tensors; neither where its files name none."""

    columns: tuple[InputColumn, ...] = ()
    tensors: tuple[InputTensor, ...] = ()
    params: tuple[ModelParameter, ...] = ()
    example: Any = None
    """The input example as MLflow stores it, if it is JSON."""


class ModelKind(StrEnum):
    """Kind of a logged model, noted by the hooks in the script's process."""

    PREDICTOR = "predictor"
    """A supervised model, or a model of a library without other kinds."""
    OTHER = "other"
    """A transformer, a clusterer, an outlier detector."""
    BASELINE = "baseline"
    """A Dummy estimator."""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model that a job's script logged: a candidate for registration."""

    model_id: str | None
    """None for models logged by MLflow before 3, which are only artifacts of their run."""
    name: str
    run_id: str | None
    created_at: datetime
    uri: str
    classes: tuple[str, ...] = ()
    """Class of the object, then of its estimator (``GridSearchCV``, ``RandomForestClassifier``); empty where unknown."""
    kind: ModelKind = ModelKind.PREDICTOR
    autologged: bool = False
    attempt: int | None = None
    """Number of the attempt that logged it; None where unknown."""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """An MLflow run that a job made."""

    run_id: str
    experiment_id: str
    started_at: datetime
    parent_run_id: str | None = None
    name: str = ""
    status: str = "FINISHED"
    """MLflow's own value."""
    ended_at: datetime | None = None
    outside: Collection[str] | None = None
    """For the job's own run: names of metrics that the script logged outside any run or fit. None for other runs."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    attempt: int | None = None
    """Number of the attempt that made it; None where unknown."""
