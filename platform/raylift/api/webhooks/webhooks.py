"""Schemas of ``/mlops/webhooks``. Secrets are in the answers to their creation only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.domain.webhooks.webhook import MAX_GRACE_HOURS

Format = Literal["standard", "cloudevents", "apprise"]
DeliveryState = Literal["pending", "delivered", "dead"]

_URL = "Address of the receiver, with https. For the format apprise: an address of Apprise, such as slack://… (admins)."
_EVENTS = "Types of events, with * and ?: job.failed, model_version.*. Omitted: all."
_MODELS = "Names of models, with * and ?: only events about them. Empty: no condition."
_EXPERIMENTS = "Names of experiments, with * and ?: only events of their jobs. Empty: no condition."
_OWNERS = "Owners, with * and ?: only events of their jobs. Empty: no condition."
_FORMAT = "standard: Standard Webhooks. cloudevents: CloudEvents 1.0, signed too. apprise: a message to people."

Patterns = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field()]


class WebhookRequest(BaseModel):
    """Body of ``POST /mlops/webhooks``."""

    # Errors must not repeat an address, which may have a token.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(description="Unique in the workspace.")]
    url: Annotated[str, Field(max_length=2000, repr=False, description=_URL)]
    events: Annotated[Patterns, Field(description=_EVENTS)] = ["*"]
    models: Annotated[Patterns, Field(description=_MODELS)] = []
    experiments: Annotated[Patterns, Field(description=_EXPERIMENTS)] = []
    owners: Annotated[Patterns, Field(description=_OWNERS)] = []
    format: Annotated[Format, Field(description=_FORMAT)] = "standard"


class WebhookPatch(BaseModel):
    """Body of ``PATCH /mlops/webhooks/{webhook_name}``. Omitted fields stay."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Annotated[str | None, Field(max_length=2000, repr=False, description=_URL)] = None
    events: Annotated[Patterns | None, Field(description=_EVENTS)] = None
    models: Annotated[Patterns | None, Field(description=_MODELS)] = None
    experiments: Annotated[Patterns | None, Field(description=_EXPERIMENTS)] = None
    owners: Annotated[Patterns | None, Field(description=_OWNERS)] = None
    paused: Annotated[bool | None, Field(description="true: record and send nothing. false: go on.")] = None


class WebhookRotation(BaseModel):
    """Body of ``POST /mlops/webhooks/{webhook_name}/rotate``."""

    model_config = ConfigDict(extra="forbid")

    grace_hours: Annotated[
        float, Field(ge=0, le=MAX_GRACE_HOURS, description="Hours for which messages are signed with the former secret, too.")
    ] = 24.0


class WebhookView(BaseModel):
    """A webhook without its secret."""

    webhook_id: str
    name: str
    workspace: str
    url: Annotated[str, Field(description="Without the query, which may have a token; for apprise the service only.")]
    format: Format
    events: list[str]
    models: list[str]
    experiments: list[str]
    owners: list[str]
    paused: bool
    paused_at: datetime | None
    message: Annotated[str | None, Field(description="Reason for which the platform has paused it.")]
    pending: Annotated[int, Field(description="Deliveries to be sent, or to be sent again.")]
    dead: Annotated[int, Field(description="Deliveries that were given up.")]
    former_secret_until: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    links: dict[str, str]


class NewWebhookView(WebhookView):
    """A webhook with a new secret."""

    secret: Annotated[
        str | None, Field(repr=False, description="Signing secret, shown once: whsec_…; null for the format apprise.")
    ]


class WebhookCheck(BaseModel):
    """Answer to ``POST /mlops/webhooks?dry_run=true``."""

    event_types: Annotated[list[str], Field(description="Types of events that it would get.")]


class WebhookList(BaseModel):
    """By name."""

    webhooks: list[WebhookView]
    event_types: Annotated[list[str], Field(description="Types that filters may select.")]


class DeliveryView(BaseModel):
    """An event on its way to a webhook."""

    delivery_id: Annotated[str, Field(description="The header webhook-id of every attempt.")]
    event_type: str
    subject: Annotated[str, Field(description="Object of the event. Deliveries about one object keep their order.")]
    occurred_at: datetime
    status: Annotated[DeliveryState, Field(description="dead: given up; it can be delivered again.")]
    attempts: int
    due_at: Annotated[datetime | None, Field(description="Time of the next attempt; null: there is none.")]
    last_attempt_at: datetime | None
    last_status_code: Annotated[int | None, Field(description="null: no answer yet, or none came.")]
    last_error: str | None
    last_answer: Annotated[str | None, Field(description="Begin of the last answer's body.")]
    data: Annotated[dict[str, Any], Field(description="Content of the event.")]


class DeliveryPageView(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    deliveries: list[DeliveryView]
    next_cursor: str | None


class Redelivery(BaseModel):
    """Answer of ``POST /mlops/webhooks/{webhook_name}/redeliver``."""

    redelivered: Annotated[int, Field(description="Dead deliveries that are sent again now.")]
