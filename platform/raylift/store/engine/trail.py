"""Audit entries in the transactions of what they tell.

A request that may change something declares an act (``acting``). The first write transaction of its context then also inserts
the act's entry, so that none of the two exists without the other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Final, TypeVar

from sqlalchemy import insert
from sqlalchemy.orm import Session

from raylift.domain.audit import AuditEntry, Outcome
from raylift.domain.identifiers import new_entry_id
from raylift.store.engine.access_tables import AuditRow

T = TypeVar("T")

_KEY: Final = "raylift_act"
_COLUMNS: Final = tuple(field.name for field in fields(AuditEntry))


@dataclass(slots=True)
class Act:
    """A request that may change something. Mutable: ``target`` may be known only after the change."""

    who: str
    action: str
    target: str | None = None
    key_id: str | None = None
    workspace: str | None = None
    address: str | None = None
    request_id: str | None = None
    is_recorded: bool = False
    """True after a transaction with the entry. One that is rolled back raises, and the request is recorded as failed."""

    def entry(self, outcome: Outcome, detail: str | None = None) -> AuditEntry:
        now = datetime.now(UTC)
        return AuditEntry(
            new_entry_id(now.timestamp()),
            now,
            self.who,
            self.key_id,
            self.workspace,
            self.address,
            self.action,
            self.target,
            self.request_id,
            outcome,
            detail,
        )


_current: ContextVar[Act | None] = ContextVar("raylift_act", default=None)


@contextmanager
def acting(act: Act | None) -> Generator[None]:
    """Record ``act`` in the first write transaction of this context, and of threads that copy it. None: record nothing."""
    token = _current.set(act)
    try:
        yield
    finally:
        _current.reset(token)


def declare(act: Act | None) -> None:
    """Replace the act of the present context, within ``acting``."""
    _current.set(act)


def begin(session: Session) -> Act | None:
    """Attach the present act to a new write transaction."""
    return _attach(session, _current.get())


def record(session: Session, act: Act | None) -> None:
    """Insert the act's entry, at the end of its transaction."""
    if act is not None and not act.is_recorded:
        add_entry(session, act.entry(Outcome.DONE))
        act.is_recorded = True


def recorded(work: Callable[[Session], T]) -> Callable[[Session], T]:
    """Wrap work that another thread may carry out, in a transaction with other work."""
    act = _current.get()
    if act is None:
        return work

    def work_and_record(session: Session) -> T:
        _attach(session, act)
        try:
            result = work(session)
            record(session, act)
        finally:
            session.info.pop(_KEY, None)
        return result

    return work_and_record


def name_target(session: Session, target: str) -> None:
    """Name what the transaction made: the target of its act."""
    act: Act | None = session.info.get(_KEY)
    if act is not None and not act.is_recorded:
        act.target = target


def add_entry(session: Session, entry: AuditEntry) -> None:
    session.execute(insert(AuditRow.__table__), {name: getattr(entry, name) for name in _COLUMNS})  # pyright: ignore[reportArgumentType]


def _attach(session: Session, act: Act | None) -> Act | None:
    if act is not None:
        session.info[_KEY] = act
    return act
