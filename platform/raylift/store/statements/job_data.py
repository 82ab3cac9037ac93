"""Versions of datasets that jobs get."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from raylift.domain.errors import DatasetNotFound
from raylift.domain.job import Job
from raylift.domain.job_data import DataInput
from raylift.store.engine.dataset_tables import DatasetVersionRow, JobDataRow
from raylift.store.engine.transactions import insert_into


def keep(session: Session, job: Job, *, but: Collection[DataInput] = ()) -> None:
    """Record the data of a job, and lock its versions until the transaction ends, so that none is deleted meanwhile.

    Data that another job has yet to make is left out, and what is in ``but``, which was recorded before.

    Raises:
        DatasetNotFound: a version does not exist any more.
    """
    data = [each for each in job.spec.data if each.version and each not in but]
    if not data:
        return
    workspace = job.spec.workspace
    for each in data:
        same = (DatasetVersionRow.workspace == workspace, DatasetVersionRow.name == each.name)
        query = select(DatasetVersionRow.version).where(*same, DatasetVersionRow.version == each.version)
        if session.scalar(query.with_for_update(read=True)) is None:
            detail = f"There is no dataset {each.name}@{each.version} any more: raylift data list"
            raise DatasetNotFound(detail, name=each.name, version=each.version)
    rows = [
        {"job_id": job.job_id, "alias": each.alias, "workspace": workspace, "name": each.name, "version": each.version}
        for each in data
    ]
    session.execute(insert_into(session, JobDataRow), rows)
