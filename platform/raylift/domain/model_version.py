"""What is registered: models and their versions, as MLflow keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name in the registry. Times are UTC and timezone-aware."""

    name: str
    created_at: datetime
    updated_at: datetime | None = None
    description: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """alias → version"""
    latest_version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def aliases_of(self, version: str) -> tuple[str, ...]:
        """Return the aliases of one version, by name. MLflow's list of versions has none."""
        return tuple(sorted(alias for alias, stands_for in self.aliases.items() if stands_for == version))


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
    """Where its artifacts are, e.g. ``models:/m-…``."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    status: str = "READY"
    """MLflow's own word for it."""

    @property
    def uri(self) -> str:
        """What a replica loads."""
        return f"models:/{self.name}/{self.version}"


class ModelKind(StrEnum):
    """Kind of a logged model, noted by the hooks in the script's process."""

    PREDICTOR = "predictor"
    """A supervised model, or one of a library that has no other kinds."""
    OTHER = "other"
    """A transformer, a clusterer, an outlier detector."""
    BASELINE = "baseline"
    """A Dummy estimator."""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model that a job's script logged; a candidate for registration."""

    model_id: str | None
    """None for one that an MLflow older than 3 logged: an artifact of its run, and nothing else."""
    name: str
    run_id: str | None
    created_at: datetime
    uri: str
    classes: tuple[str, ...] = ()
    """Class of the object, then of the estimator in it (``GridSearchCV``, ``RandomForestClassifier``); () where unknown."""
    kind: ModelKind = ModelKind.PREDICTOR
    autologged: bool = False


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """An MLflow run that a job made."""

    run_id: str
    experiment_id: str
    started_at: datetime
    parent_run_id: str | None = None
    name: str = ""
    status: str = "FINISHED"
    """MLflow's own word for it."""
    ended_at: datetime | None = None
    outside: Collection[str] | None = None
    """Of the job's run: its metrics that the script logged outside of any run and fit. None: it is another run."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
