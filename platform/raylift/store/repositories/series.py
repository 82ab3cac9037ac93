"""Time series of versions: intervals of one minute and of ten, and the counters that the next interval begins with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import and_, delete, or_, select, tuple_, update
from sqlalchemy.orm import Session

from raylift.domain.errors import StaleLease
from raylift.domain.models.series import MINUTE, TEN_MINUTES, Baseline, Interval, Key, aligned, merge
from raylift.store.engine.series_tables import IntervalRow, SeriesBaselineRow, SeriesClockRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.records import columns, execute, from_row

_CLOCK: Final = "versions"
_REMOVED_AT_ONCE: Final = 5000


class SeriesRepository:
    """One writer records at a time: of two that saw the same end of the series, the second gets StaleLease."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded_until(self) -> datetime | None:
        """Return the end of the series: counts up to it are recorded. None before the first record."""
        with self._database.read() as session:
            return session.scalar(select(SeriesClockRow.recorded_until))

    def baselines(self) -> dict[Key, Baseline]:
        with self._database.read() as session:
            found = [from_row(Baseline, row) for row in session.scalars(select(SeriesBaselineRow))]
        return {(one.model_name, one.version): one for one in found}

    def record(
        self,
        intervals: Sequence[Interval],
        *,
        baselines: Sequence[Baseline],
        gone: Collection[Key],
        since: datetime | None,
        until: datetime,
    ) -> None:
        """Append intervals of a minute, and those of ten minutes that are complete with them.

        Args:
            intervals: of a minute each, between ``since`` and ``until``.
            baselines: those that differ from the stored ones.
            gone: versions without counters, whose baselines go.
            since: end of the series as the caller read it.
            until: its new end.

        Raises:
            StaleLease: somebody else has recorded meanwhile.
        """
        with self._database.write() as session:
            _move_clock(session, since, until)
            _put(session, intervals)
            _put_baselines(session, baselines)
            if gone:
                key = tuple_(SeriesBaselineRow.model_name, SeriesBaselineRow.version)
                execute(session, delete(SeriesBaselineRow).where(key.in_(sorted(gone))))
            if since is not None and (start := aligned(since, TEN_MINUTES)) < (end := aligned(until, TEN_MINUTES)):
                _put(session, _ten_minutes(session, start, end))

    def intervals(
        self, model_name: str, version: str, since: datetime, until: datetime, *, step_seconds: int
    ) -> list[Interval]:
        """Return what is recorded from ``since`` to ``until``, in order of time, after the interval before ``since``, if any.

        ``step_seconds`` chooses between minutes and intervals of ten, with minutes for the ten that are not complete.
        """
        row = IntervalRow
        of_version = and_(row.model_name == model_name, row.version == version)
        wanted = and_(row.step_seconds == MINUTE, row.start_at >= since, row.start_at < until)
        if step_seconds % TEN_MINUTES == 0:
            rest = aligned(until, TEN_MINUTES)
            wanted = or_(
                and_(row.step_seconds == TEN_MINUTES, row.start_at >= since, row.start_at < rest),
                and_(row.step_seconds == MINUTE, row.start_at >= max(since, rest), row.start_at < until),
            )
        with self._database.read() as session:
            before = [
                from_row(Interval, found)
                for step in (MINUTE, TEN_MINUTES)
                for found in session.scalars(
                    select(row)
                    .where(of_version, row.step_seconds == step, row.start_at <= since - timedelta(seconds=step))
                    .order_by(row.start_at.desc())
                    .limit(1)
                )
            ]
            found = session.scalars(select(row).where(of_version, wanted).order_by(row.start_at))
            last = max(before, key=lambda one: one.start_at + timedelta(seconds=one.step_seconds), default=None)
            return [*([last] if last else []), *(from_row(Interval, one) for one in found)]

    def baseline(self, model_name: str, version: str) -> Baseline | None:
        with self._database.read() as session:
            found = session.get(SeriesBaselineRow, (model_name, version))
            return None if found is None else from_row(Baseline, found)

    def forget_before(self, moment: datetime, *, step_seconds: int) -> bool:
        """Delete a batch of intervals of this length from before ``moment``. Returns True where more may be left."""
        row = IntervalRow
        key = (row.model_name, row.version, row.step_seconds, row.start_at)
        with self._database.write() as session:
            due = session.execute(
                select(*key).where(row.step_seconds == step_seconds, row.start_at < moment).limit(_REMOVED_AT_ONCE)
            ).all()
            if due:
                execute(session, delete(row).where(tuple_(*key).in_([tuple(one) for one in due])))
        return len(due) == _REMOVED_AT_ONCE


def _move_clock(session: Session, since: datetime | None, until: datetime) -> None:
    if since is None:
        statement = insert_into(session, SeriesClockRow).on_conflict_do_nothing().returning(SeriesClockRow.name)
        moved = session.execute(statement, {"name": _CLOCK, "recorded_until": until}).first()
    else:
        clock = SeriesClockRow
        moving = update(clock).where(clock.recorded_until == since).values(recorded_until=until).returning(clock.name)
        moved = session.execute(moving).first()
    if moved is None:
        raise StaleLease("The series of versions are recorded by another supervisor.")


def _put(session: Session, intervals: Sequence[Interval]) -> None:
    if not intervals:
        return
    insert = insert_into(session, IntervalRow)
    names = ("counts", "queued", "replicas", "warm")
    # A clock that was set back makes intervals again.
    upsert = insert.on_conflict_do_update(
        index_elements=["model_name", "version", "step_seconds", "start_at"],
        set_={name: insert.excluded[name] for name in names},
    )
    session.execute(upsert, [columns(one) for one in intervals])


def _put_baselines(session: Session, baselines: Sequence[Baseline]) -> None:
    if not baselines:
        return
    insert = insert_into(session, SeriesBaselineRow)
    upsert = insert.on_conflict_do_update(
        index_elements=["model_name", "version"],
        set_={name: insert.excluded[name] for name in ("counts", "replicas", "warm")},
    )
    session.execute(upsert, [columns(one) for one in baselines])


def _ten_minutes(session: Session, start: datetime, end: datetime) -> list[Interval]:
    row = IntervalRow
    query = select(row).where(row.step_seconds == MINUTE, row.start_at >= start, row.start_at < end)
    minutes = [from_row(Interval, one) for one in session.scalars(query.order_by(row.model_name, row.version, row.start_at))]
    versions = groupby(minutes, lambda one: (one.model_name, one.version))
    return [merged for _, group in versions for merged in merge(group, TEN_MINUTES)]
