"""Conversion between rows and domain records. Columns have the names of a record's fields; a row may have more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final, TypeVar

from sqlalchemy import Delete, Update
from sqlalchemy.orm import Session

from raylift.domain.job import Job
from raylift.store.engine.tables import Base

R = TypeVar("R")

_UNSYNCHRONIZED: Final = {"synchronize_session": False}
"""Objects in the session need no update, because a transaction does not use them after a statement that changes rows."""


@cache
def columns_of(kind: Any) -> tuple[str, ...]:
    """Return the names of a record's columns."""
    return tuple(field.name for field in fields(kind))


def from_row(kind: type[R], row: Base) -> R:
    return kind(**{name: getattr(row, name) for name in columns_of(kind)})


def changed(session: Session, statement: Update | Delete, row: type[Base], kind: type[R]) -> R | None:
    """Execute an UPDATE or DELETE of at most one row and return its record; None where no row matched."""
    found = session.scalars(statement.returning(row).execution_options(**_UNSYNCHRONIZED)).one_or_none()
    return None if found is None else from_row(kind, found)


def check_fields(changes: Mapping[str, Any], allowed: type, kind: str) -> None:
    """Raise TypeError for a field that the TypedDict ``allowed`` does not have. Types alone do not hold at run time."""
    unknown = sorted(changes.keys() - allowed.__annotations__.keys())
    if unknown:
        raise TypeError(f"a supervisor cannot change {', '.join(unknown)} of a {kind}")


def execute(session: Session, statement: Update | Delete) -> None:
    session.execute(statement.execution_options(**_UNSYNCHRONIZED))


def columns(record: Any) -> dict[str, Any]:
    """Return the record's fields by column name."""
    return {name: getattr(record, name) for name in columns_of(record.__class__)}


def job_columns(job: Job) -> dict[str, Any]:
    """Return every column of a job's row, including those that only serve indices."""
    whole = job.spec.resources.whole
    return columns(job) | {
        "status": job.status,
        "script_sha256": job.spec.script_sha256,
        "model_name": job.spec.model_name,
        "experiment_name": job.spec.experiment_name,
        "queue_rank": -job.spec.priority,
        "owner": job.spec.owner,
        "workspace": job.spec.workspace,
        "account": job.spec.account,
        "cpus": whole.cpus,
        "memory_bytes": whole.memory_bytes,
        "gpus": whole.gpus,
        "gang": None if job.spec.resources.workers is None else job.spec.resources,
    }
