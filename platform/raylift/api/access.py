"""Wire models of ``/mlops/keys``, ``/mlops/audit`` and ``/mlops/whoami``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from raylift.domain.access import Role
from raylift.domain.identifiers import DEFAULT_WORKSPACE


class KeyCreation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(description="Name of the user or program: jobs and the audit show it.")]
    role: Annotated[Role, Field(strict=False, description="Each role may do what those before it may.")] = Role.VIEWER
    workspace: str = DEFAULT_WORKSPACE
    models: Annotated[list[str], Field(description="Limits the key to predictions of these models; empty: no limit.")] = []
    expires_days: Annotated[float | None, Field(description="Days until it expires; null: never.")] = None


class KeyRotation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grace_hours: Annotated[float, Field(ge=0, le=720, description="Hours for which the former key still works.")] = 24.0


class KeyView(BaseModel):
    key_id: Annotated[str, Field(description="Visible part of the key.")]
    name: str
    role: str
    workspace: str
    models: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: Annotated[
        datetime | None,
        Field(description="Time of the last use, to the minute. Predictions that pass the gateway by do not count."),
    ]
    subject: Annotated[
        str | None, Field(description="Issuer and id of the person who signed in; null: an admin made the key.")
    ] = None


class NewKeyView(KeyView):
    key: Annotated[str, Field(description="The key itself. It is shown once, and stored nowhere.")]


class KeyList(BaseModel):
    keys: list[KeyView]


class WhoAmI(BaseModel):
    name: str
    role: str
    workspace: str
    key_id: str | None
    models: list[str] | None
    auth: Annotated[str, Field(description="`local` or `keys`.")]
    actions: Annotated[list[str], Field(description="Actions that the caller may do.")]


class AuditEntryView(BaseModel):
    entry_id: str
    at: datetime
    who: Annotated[str, Field(description="Name of the caller; empty where it is unknown.")]
    key_id: str | None
    workspace: str | None
    address: str | None
    action: str
    target: str | None
    request_id: str | None
    outcome: str
    detail: Annotated[str | None, Field(description="Error code of a refused or failed request.")]


class AuditPageView(BaseModel):
    entries: list[AuditEntryView]
    next_cursor: str | None
