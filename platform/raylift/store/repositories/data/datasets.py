"""Datasets, by workspace: their versions, files, and the jobs that got them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from raylift.domain.datasets.dataset import DataFile, Dataset, DatasetUse, DatasetVersion
from raylift.domain.errors import DatasetInUse, DatasetNotFound
from raylift.store.engine import trail
from raylift.store.engine.columns import utc
from raylift.store.engine.dataset_tables import DatasetFileRow, DatasetRow, DatasetVersionRow, JobDataRow
from raylift.store.engine.tables import JobRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.records import columns, from_row

_FILE_COLUMNS = ("path", "sha256", "size_bytes", "location")
_NAMES_AT_ONCE = 500


class DatasetRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, version: DatasetVersion, files: Sequence[DataFile]) -> tuple[DatasetVersion, bool]:
        """Store a version with the next number. Returns it and True, or the existing one of the same content and False."""
        key = {"workspace": version.workspace, "name": version.name}
        with self._database.write() as session:
            new = insert_into(session, DatasetRow).values(**key, last_version=0)
            session.execute(new.on_conflict_do_nothing())
            # Two adds of the same content take turns.
            this = and_(DatasetRow.workspace == version.workspace, DatasetRow.name == version.name)
            dataset = session.scalars(select(DatasetRow).where(this).with_for_update()).one()
            same = _versions_of(version.workspace, version.name)
            known = session.scalar(select(DatasetVersionRow).where(same, DatasetVersionRow.digest == version.digest))
            if known is not None:
                trail.name_target(session, f"{known.name}@{known.version}")
                return from_row(DatasetVersion, known), False
            last = dataset.last_version = dataset.last_version + 1
            values = columns(version) | {"version": last, "created_at": utc(version.created_at)}
            session.add(DatasetVersionRow(**values))
            session.flush()
            rows = [{**key, "version": last, **{name: getattr(file, name) for name in _FILE_COLUMNS}} for file in files]
            session.execute(insert_into(session, DatasetFileRow), rows)
            trail.name_target(session, f"{version.name}@{last}")
            return from_row(DatasetVersion, _one(session, version.workspace, version.name, last)), True

    def get(self, workspace: str, name: str, version: int | None = None) -> DatasetVersion:
        """Return a version; None: the newest. Raises DatasetNotFound."""
        with self._database.read() as session:
            return from_row(DatasetVersion, _one(session, workspace, name, version))

    def of_digest(self, workspace: str, name: str, digest: str) -> DatasetVersion | None:
        """Return the dataset's version of this content."""
        with self._database.read() as session:
            query = select(DatasetVersionRow).where(_versions_of(workspace, name), DatasetVersionRow.digest == digest)
            found = session.scalar(query)
            return None if found is None else from_row(DatasetVersion, found)

    def list(self, workspace: str) -> list[Dataset]:
        """Return the datasets of a workspace by name, each with its newest version."""
        row = DatasetVersionRow
        newest = select(row.name, func.max(row.version).label("newest"), func.count().label("count"))
        found = newest.where(row.workspace == workspace).group_by(row.name).subquery()
        query = select(row, found.c.count).join(found, and_(found.c.name == row.name, found.c.newest == row.version))
        with self._database.read() as session:
            rows = session.execute(query.where(row.workspace == workspace).order_by(row.name)).all()
            return [Dataset(from_row(DatasetVersion, version), count) for version, count in rows]

    def versions(self, workspace: str, name: str) -> list[DatasetVersion]:
        """Return all versions, newest first. Raises DatasetNotFound where there are none."""
        query = select(DatasetVersionRow).where(_versions_of(workspace, name)).order_by(DatasetVersionRow.version.desc())
        with self._database.read() as session:
            found = [from_row(DatasetVersion, row) for row in session.scalars(query)]
        if not found:
            raise _not_found(name, None)
        return found

    def files(self, workspace: str, name: str, version: int) -> list[DataFile]:
        """Return the files of a version, by path. Raises DatasetNotFound."""
        row = DatasetFileRow
        query = select(row).where(row.workspace == workspace, row.name == name, row.version == version).order_by(row.path)
        with self._database.read() as session:
            found = [DataFile(**{name: getattr(file, name) for name in _FILE_COLUMNS}) for file in session.scalars(query)]
        if not found:
            raise _not_found(name, version)
        return found

    def uses(self, workspace: str, name: str, version: int | None = None, *, limit: int) -> list[DatasetUse]:
        """Return the newest jobs that got a version, or any version, as data."""
        data = JobDataRow
        query = select(JobRow, data.alias, data.version).join(data, data.job_id == JobRow.job_id)
        query = query.where(data.workspace == workspace, data.name == name)
        if version is not None:
            query = query.where(data.version == version)
        query = query.order_by(JobRow.created_at.desc(), JobRow.job_id.desc(), data.alias).limit(limit)
        with self._database.read() as session:
            return [
                DatasetUse(job.job_id, alias, used, job.status.value, job.created_at, job.model_name, job.model_version)
                for job, alias, used in session.execute(query)
            ]

    def delete(self, workspace: str, name: str, version: int | None = None) -> int:
        """Delete a version, or all of a dataset. Returns their number. The bytes go when nothing refers to them.

        Raises:
            DatasetNotFound: there is none.
            DatasetInUse: a job that has not ended gets it.
        """
        row = DatasetVersionRow
        with self._database.write() as session:
            query = select(row).where(_versions_of(workspace, name))
            if version is not None:
                query = query.where(row.version == version)
            # The lock holds new jobs back (statements/job_data.py).
            found = list(session.scalars(query.with_for_update()))
            if not found:
                raise _not_found(name, version)
            _require_unused(session, workspace, name, [each.version for each in found])
            for each in found:
                session.delete(each)
            return len(found)

    def known_blobs(self, workspace: str, sha256s: Collection[str]) -> set[str]:
        """Return those of the SHA-256s of which a version of the workspace has the platform's own copy."""
        row, names, known = DatasetFileRow, sorted(sha256s), set[str]()
        with self._database.read() as session:
            for start in range(0, len(names), _NAMES_AT_ONCE):
                some = row.sha256.in_(names[start : start + _NAMES_AT_ONCE])
                known |= {*session.scalars(select(row.sha256).where(row.workspace == workspace, some, row.location.is_(None)))}
        return known


def _versions_of(workspace: str, name: str) -> ColumnElement[bool]:
    return and_(DatasetVersionRow.workspace == workspace, DatasetVersionRow.name == name)


def _one(session: Session, workspace: str, name: str, version: int | None) -> DatasetVersionRow:
    query = select(DatasetVersionRow).where(_versions_of(workspace, name))
    if version is not None:
        query = query.where(DatasetVersionRow.version == version)
    found = session.scalar(query.order_by(DatasetVersionRow.version.desc()).limit(1))
    if found is None:
        raise _not_found(name, version)
    return found


def _require_unused(session: Session, workspace: str, name: str, versions: Collection[int]) -> None:
    data = JobDataRow
    query = select(data.job_id, data.version).join(JobRow, JobRow.job_id == data.job_id)
    query = query.where(data.workspace == workspace, data.name == name, data.version.in_(versions))
    used = session.execute(query.where(JobRow.finished_at.is_(None)).limit(1)).first()
    if used is not None:
        job_id, version = used
        detail = f"{job_id}, which has not ended, gets {name}@{version}. Cancel it first, or wait for its end."
        raise DatasetInUse(detail, job_id=job_id, name=name, version=version)


def _not_found(name: str, version: int | None) -> DatasetNotFound:
    wanted = name if version is None else f"{name}@{version}"
    return DatasetNotFound(f"There is no dataset {wanted} in this workspace: raylift data list", name=name, version=version)
