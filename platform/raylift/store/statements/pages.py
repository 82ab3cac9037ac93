"""Pages of lists. A cursor holds the key of the last row, not an offset, so it stays valid while rows are added."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from pydantic import AwareDatetime, TypeAdapter

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.job import Job, JobStatus, Reason

T = TypeVar("T")

_POSITION: Final = TypeAdapter(tuple[AwareDatetime, str])


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions of a list of jobs; None: no condition."""

    status: JobStatus | None = None
    model_name: str | None = None
    experiment_name: str | None = None
    tag: tuple[str, str | None] | None = None
    """A tag's key and value; None: any value."""
    sweep_id: str | None = None
    schedule: str | None = None
    """Name of the schedule that made them."""
    owner: str | None = None
    workspace: str | None = None
    reason: Reason | None = None
    """Reason of a failure, a cancellation or a wait, as it is shown."""
    text: str | None = None
    """Text in the job's id, or in the name of its model, experiment or owner, in any case of letters."""


@dataclass(frozen=True, slots=True)
class JobPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    jobs: list[Job]
    next_cursor: str | None


def cut(found: list[T], limit: int, position: Callable[[T], tuple[datetime, str]]) -> tuple[list[T], str | None]:
    """Return the first ``limit`` items, and the cursor of the page after them if there are more."""
    shown = found[:limit]
    return shown, encode_cursor(*position(shown[-1])) if len(found) > limit else None


def encode_cursor(created_at: datetime, identifier: str) -> str:
    """Return the cursor of the page after this row."""
    return base64.urlsafe_b64encode(_POSITION.dump_json((created_at, identifier))).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the (created_at, id) that the page follows. Raises InvalidRequest for an invalid cursor."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_at, job_id = _POSITION.validate_json(text)
    except ValueError as error:
        detail = "This is not a cursor: pass next_cursor of the page before, or leave it out for the first page."
        raise InvalidRequest(detail, [FieldError("cursor", detail)]) from error
    return created_at, job_id
