"""A webhook: a receiver of events, and the events that it gets."""

from __future__ import annotations

import base64
import difflib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from raylift.domain.errors import FieldError
from raylift.domain.identifiers import MODEL_NAME
from raylift.domain.webhooks.event import SELECTABLE, EventType, PlatformEvent

WEBHOOK_ID: Final = re.compile(r"webhook_[0-9A-Z]{26}")
NAME_FORM: Final = "1 to 64 letters, digits, dots, dashes and underscores, beginning and ending with a letter or digit"
MAX_NAME: Final = 64
MAX_WEBHOOKS: Final = 50
"""Webhooks of one workspace."""
MAX_PATTERNS: Final = 50
MAX_GRACE_HOURS: Final = 168
_SECRET_BYTES: Final = 32


class WebhookFormat(StrEnum):
    """Form of what a receiver gets."""

    STANDARD = "standard"
    """Standard Webhooks: ``{type, timestamp, data}``, signed."""
    CLOUDEVENTS = "cloudevents"
    """CloudEvents 1.0 in structured JSON mode, signed as Standard Webhooks."""
    APPRISE = "apprise"
    """A message to people through Apprise: Slack, Teams, e-mail."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions of an event. Patterns have ``*`` and ``?``; an empty field has no condition."""

    events: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()

    def selects(self, event: PlatformEvent) -> bool:
        """Return True where the event meets every condition. One without a model meets no condition on models."""
        conditions = (
            (self.models, event.model_name),
            (self.experiments, event.experiment_name),
            (self.owners, event.owner),
        )
        return _meets(self.events, event.type) and all(_meets(wanted, value) for wanted, value in conditions if wanted)

    def types(self) -> list[EventType]:
        """Return the types of events that the patterns select."""
        return [each for each in SELECTABLE if _meets(self.events, each)]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as stored, without its address and its secret. Times are UTC and timezone-aware."""

    webhook_id: str
    name: str
    """Unique in its workspace."""
    workspace: str
    format: WebhookFormat
    shown_url: str
    """Address without its credentials and query."""
    filter: EventFilter
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    paused_at: datetime | None = None
    """While it is paused no events are recorded for it, and none are sent."""
    message: str | None = None
    """Reason for which the platform paused it."""
    former_secret_until: datetime | None = None
    """End of the time in which messages are signed with the former secret, too."""
    revision: int = 1


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The address of a webhook and its secrets. Encrypted in the store; never printed or logged."""

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    former_secret: str | None = field(default=None, repr=False)


def new_secret() -> str:
    """Make a signing secret: ``whsec_`` and 32 random bytes in base64, as Standard Webhooks has it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def name_error(name: str) -> str | None:
    """Return what is wrong with the name of a webhook, or None."""
    if len(name) <= MAX_NAME and MODEL_NAME.fullmatch(name) and not WEBHOOK_ID.fullmatch(name):
        return None
    return f"is {name!r}; it must be {NAME_FORM}"


def filter_errors(wanted: EventFilter) -> Iterator[FieldError]:
    """Yield what is wrong with a filter: an event pattern that selects no type is a mistake."""
    if not wanted.events:
        yield FieldError("events", "is empty; write '*' for all events")
    for position, pattern in enumerate(wanted.events):
        if not any(fnmatchcase(each, pattern) for each in SELECTABLE):
            close = difflib.get_close_matches(pattern, SELECTABLE, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(SELECTABLE)}"
            yield FieldError(f"events[{position}]", f"is {pattern!r}, which selects no event; {hint}")
    for name in ("events", "models", "experiments", "owners"):
        if len(getattr(wanted, name)) > MAX_PATTERNS:
            yield FieldError(name, f"has more than {MAX_PATTERNS} patterns")


def _meets(patterns: tuple[str, ...], value: str | None) -> bool:
    return value is not None and any(fnmatchcase(value, pattern) for pattern in patterns)
