"""Wire schemas of ``/mlops/models/{name}/traffic``, its history, and of the aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure
from raylift.api.models import DeploymentStatusName

TargetName = Annotated[str | int, Field(description='A version\'s number, e.g. "3", or an MLflow alias, e.g. "champion".')]


class RouteBody(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    version: Annotated[
        str | int | None, Field(description="A version's number. A text that is no number is an MLflow alias.")
    ] = None
    alias: Annotated[str | None, Field(description="An MLflow alias, instead of a version.")] = None
    weight: Annotated[float, Field(ge=0, description="Its share is this part of the sum of all weights.")]


class StickyBody(BaseModel):
    """What of a request decides which version it goes to: exactly one of the two."""

    model_config = ConfigDict(extra="forbid")

    header: Annotated[str | None, Field(description="A header's name, e.g. X-User.")] = None
    field: Annotated[
        str | None,
        Field(description="A dotted name in the JSON body, e.g. params.user; a list stands for its first element."),
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
    """A table in the form that ``PUT …/traffic`` takes."""

    routes: list[RouteView]
    shadow: list[str]
    sticky: StickyBody | None


class VersionShare(BaseModel):
    """A version that gets requests now, or copies of them."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: Annotated[str | None, Field(description="Null for an alias that is gone from MLflow.")]
    alias: Annotated[str | None, Field(description="The alias through which the table names it.")]
    share: Annotated[Figure, Field(description="Its part of the requests, 0 to 1; 0 for shadow versions.")]
    shadow: bool
    status: Annotated[DeploymentStatusName | None, Field(description="Null where it has no deployment.")]
    replicas: int


class TrafficView(TrafficTableView):
    """A model's traffic. Without a table ``routes`` is empty, and the newest version that answers gets every request."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    revision: Annotated[int, Field(description="Counts changes of the table; 0 where there never was one. Also the ETag.")]
    updated_at: datetime | None
    updated_by: str | None
    versions: Annotated[list[VersionShare], Field(description="What the table comes to now, aliases resolved.")]


class TrafficChangeView(BaseModel):
    """A change of the table (``revision``, ``before``, ``after``) or of an alias (``alias`` and the two versions)."""

    sequence: int
    at: datetime
    who: Annotated[str, Field(description='X-Raylift-Owner, else "local"; "mlflow" for what was moved in MLflow itself.')]
    action: Literal["put", "delete", "rollback", "alias"]
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
    """Body of ``POST …/rollback``; may be left out: then the last change is undone."""

    model_config = ConfigDict(extra="forbid")

    revision: Annotated[int | None, Field(ge=0, description="Go back to this revision of the table instead.")] = None
    alias: Annotated[str | None, Field(min_length=1, description="Undo the last move of this alias instead.")] = None


class AliasUpdate(BaseModel):
    """Body of ``PUT …/aliases/{alias}``."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str | int, Field(description="The version that the alias stands for from now on.")]


class AliasView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    alias: str
    version: Annotated[str | None, Field(description="Null when the alias was deleted.")]
    previous_version: str | None
