"""Schemas of ``/mlops/models/{name}/traffic``, its history, and aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure
from raylift.api.models import DeploymentStatusName

TargetName = Annotated[str | int, Field(description='A version\'s number, e.g. "3", or an MLflow alias, e.g. "champion".')]


class RouteBody(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    version: Annotated[str | int | None, Field(description="A version's number. Other text is an MLflow alias.")] = None
    alias: Annotated[str | None, Field(description="An MLflow alias, instead of a version.")] = None
    weight: Annotated[float, Field(ge=0, description="Share of requests, relative to the sum of all weights.")]


class StickyBody(BaseModel):
    """Key of sticky routing: exactly one of the two."""

    model_config = ConfigDict(extra="forbid")

    header: Annotated[str | None, Field(description="A header's name, e.g. X-User.")] = None
    field: Annotated[
        str | None,
        Field(description="A dotted name in the JSON body, e.g. params.user; of a list the first element counts."),
    ] = None


class TrafficUpdate(BaseModel):
    """Body of ``PUT …/traffic``: the whole table."""

    model_config = ConfigDict(extra="forbid")

    routes: Annotated[list[RouteBody], Field(min_length=1, max_length=100)]
    shadow: Annotated[
        list[TargetName], Field(max_length=100, description="Versions or aliases that get a copy of each request.")
    ] = []
    sticky: Annotated[StickyBody | None, Field(description="Requests with the same value go to the same version.")] = None


class RouteView(BaseModel):
    version: Annotated[str | None, Field(description="Null where the route names an alias.")]
    alias: Annotated[str | None, Field(description="Null where the route names a version.")]
    weight: Figure


class TrafficTableView(BaseModel):
    """A table in the form of ``PUT …/traffic``."""

    routes: list[RouteView]
    shadow: list[str]
    sticky: StickyBody | None


class VersionShare(BaseModel):
    """A version that receives requests or copies of them now."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: Annotated[str | None, Field(description="Null for an alias that no longer exists in MLflow.")]
    alias: Annotated[str | None, Field(description="The alias in the table.")]
    share: Annotated[Figure, Field(description="Share of requests, 0 to 1; 0 for shadow versions.")]
    shadow: bool
    status: Annotated[DeploymentStatusName | None, Field(description="Null where it has no deployment.")]
    replicas: int


class TrafficView(TrafficTableView):
    """A model's traffic. Without a table ``routes`` is empty, and the newest answering version gets every request."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    revision: Annotated[int, Field(description="Number of changes of the table, for If-Match.")]
    updated_at: datetime | None
    updated_by: str | None
    versions: Annotated[list[VersionShare], Field(description="Present result of the table, with aliases resolved.")]


class TrafficChangeView(BaseModel):
    """A change of the table (``revision``, ``before``, ``after``) or of an alias (``alias`` and the two versions)."""

    sequence: int
    at: datetime
    who: Annotated[str, Field(description='X-Raylift-Owner, else "local"; "mlflow" for changes made in MLflow itself.')]
    action: Literal["put", "delete", "rollback", "rollout", "alias"]
    revision: int | None
    before: TrafficTableView | None
    after: TrafficTableView | None
    alias: str | None
    before_version: str | None
    after_version: str | None


class TrafficHistory(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    changes: Annotated[list[TrafficChangeView], Field(description="Newest first.")]
    next_before: Annotated[int | None, Field(description="`before` of the next page; null on the last one.")]


class RollbackRequest(BaseModel):
    """Body of ``POST …/rollback``. Without a body the last change is undone."""

    model_config = ConfigDict(extra="forbid")

    revision: Annotated[int | None, Field(ge=0, description="Restore this revision of the table instead.")] = None
    alias: Annotated[str | None, Field(min_length=1, description="Undo the last move of this alias instead.")] = None


class AliasUpdate(BaseModel):
    """Body of ``PUT …/aliases/{alias}``."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str | int, Field(description="New version of the alias.")]


class AliasView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    alias: str
    version: Annotated[str | None, Field(description="Null when the alias was deleted.")]
    previous_version: str | None
