"""The datasets of jobs: from the references of an upload to the files of an attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raylift.domain.datasets.dataset import ALIAS, ALIAS_FORM, DataFile, data_variable, listing_digest, parse_reference
from raylift.domain.errors import DatasetNotFound, FieldError, JobNotFound
from raylift.domain.job import Job, JobSpec
from raylift.domain.job_data import DataInput
from raylift.domain.jobs_order import job_of_reference
from raylift.engines.datasets.blobs import blobs_of
from raylift.settings import PlatformSettings
from raylift.store import Store

if TYPE_CHECKING:
    from job_entrypoints.contract import AttemptRecord, DataFileRecord, DataRecord

MAX_DATA = 50
"""Datasets of one job."""


class JobData:
    """Resolves references once, when a job is submitted, and finds the files later."""

    def __init__(self, store: Store, settings: PlatformSettings) -> None:
        self._store = store
        self._settings = settings
        self._blobs = blobs_of(settings)

    def resolve(self, workspace: str, wanted: Mapping[str, str]) -> tuple[tuple[DataInput, ...], Sequence[FieldError]]:
        """Return the versions that ``name`` or ``name@3`` means now, by alias, and an error for each invalid one.

        ``job:ID`` is the version that a job makes: it is known once that job has completed.

        Raises:
            JobNotFound: the workspace has no such job.
        """
        if len(wanted) > MAX_DATA:
            return (), [FieldError("data", f"has {len(wanted)} datasets; a job gets at most {MAX_DATA}")]
        found: list[DataInput] = []
        errors: list[FieldError] = []
        variables: dict[str, str] = {}
        for alias, reference in wanted.items():
            each = self._resolved(workspace, alias, reference, variables)
            if isinstance(each, FieldError):
                errors.append(each)
            else:
                found.append(each)
        return tuple(found), errors

    def check(self, spec: JobSpec) -> Iterator[FieldError]:
        """Yield an error for each version of a former job that was deleted."""
        for each in spec.data:
            if not each.version:
                detail = f"is to come from {each.of_job}, and the job never started: upload it again with another job's"
                yield FieldError(f"data.{each.alias}", detail)
                continue
            try:
                self._store.datasets.get(spec.workspace, each.name, each.version)
            except DatasetNotFound:
                detail = f"is {each.name}@{each.version}, which was deleted: give another version in data"
                yield FieldError(f"data.{each.alias}", detail)

    def changed(self, spec: JobSpec, changes: Mapping[str, str]) -> tuple[tuple[DataInput, ...], Sequence[FieldError]]:
        """Return the data of a rerun: that of the former job with ``changes``, and an error for each invalid one."""
        kept = tuple(each for each in spec.data if each.alias not in changes)
        wrong = list(self.check(replace(spec, data=kept)))
        gone = {error.field for error in wrong}
        there = {each.alias: f"{each.name}@{each.version}" for each in kept if f"data.{each.alias}" not in gone}
        # All of them together: their variables must differ.
        found, errors = self.resolve(spec.workspace, {**there, **changes})
        return (*kept, *(each for each in found if each.alias in changes)), [*wrong, *errors]

    def renewed(self, spec: JobSpec) -> tuple[DataInput, ...]:
        """Return the data of a schedule's next job: the newest version where the upload named none."""
        return tuple(self._newest(spec.workspace, each) if each.follows_newest else each for each in spec.data)

    def for_attempt(self, job: Job) -> AttemptRecord | dict[str, object]:
        """Return the fields of the attempt's instructions about its data; none without data.

        Raises:
            DatasetNotFound: a version was deleted.
        """
        if not job.spec.data:
            return {}
        return {
            "data": [self._record(job.spec.workspace, each) for each in job.spec.data],
            "data_cache": str(self._settings.data_cache_dir),
            "data_cache_bytes": self._settings.datasets.cache_bytes,
        }

    def _resolved(self, workspace: str, alias: str, reference: str, variables: dict[str, str]) -> DataInput | FieldError:
        field = f"data.{alias}"
        parsed = parse_reference(reference)
        if not ALIAS.fullmatch(alias):
            return FieldError(field, f"cannot be part of an environment variable: name it with {ALIAS_FORM}")
        if (other := variables.setdefault(data_variable(alias), alias)) != alias:
            return FieldError(field, f"has the variable {data_variable(alias)}, as {other!r} does: give another name")
        if (job_id := job_of_reference(reference)) is not None:
            return self._of_job(workspace, alias, job_id)
        if parsed is None:
            return FieldError(field, f"is {reference!r}; write NAME, NAME@3 for a version, or job:ID for what a job makes")
        name, number = parsed
        try:
            version = self._store.datasets.get(workspace, name, number)
        except DatasetNotFound:
            return FieldError(field, f"is {reference!r}, which does not exist{self._known(workspace, name)}")
        return DataInput(alias, name, version.version, version.digest, follows_newest=number is None)

    def _of_job(self, workspace: str, alias: str, job_id: str) -> DataInput | FieldError:
        field, job = f"data.{alias}", self._store.jobs.get(job_id)
        if job.spec.workspace != workspace:
            raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
        name = job.spec.output_dataset
        if name is None:
            return FieldError(field, f"names {job_id}, which makes no dataset: upload it with output_dataset")
        return self.made_by(DataInput(alias, name, 0, "", of_job=job_id), job)

    def made_by(self, data: DataInput, job: Job) -> DataInput | FieldError:
        """Return the version that a job has made, or ``data`` as it is where the job goes on."""
        field = f"data.{data.alias}"
        if job.output is None:
            if not job.is_final:
                return data
            return FieldError(field, f"names {job.job_id}, which is {job.status} and has made no dataset")
        try:
            version = self._store.datasets.get(job.spec.workspace, job.output.name, job.output.version)
        except DatasetNotFound:
            return FieldError(field, f"is {job.output.name}@{job.output.version}, which {job.job_id} made, and was deleted")
        return replace(data, version=version.version, digest=version.digest)

    def _known(self, workspace: str, name: str) -> str:
        try:
            newest = self._store.datasets.get(workspace, name)
        except DatasetNotFound:
            return f": raylift data add {name} FILE"
        return f"; the newest version is {newest.version}"

    def _newest(self, workspace: str, data: DataInput) -> DataInput:
        try:
            newest = self._store.datasets.get(workspace, data.name)
        except DatasetNotFound:
            return data  # ``check`` tells that it was deleted.
        return replace(data, version=newest.version, digest=newest.digest)

    def _record(self, workspace: str, data: DataInput) -> DataRecord:
        version = self._store.datasets.get(workspace, data.name, data.version)
        files = self._store.datasets.files(workspace, data.name, data.version)
        return {
            "alias": data.alias,
            "variable": data_variable(data.alias),
            "name": data.name,
            "version": data.version,
            "digest": data.digest,
            "key": listing_digest(files),
            "single": None if version.is_folder else files[0].path,
            "source": version.source or f"raylift://datasets/{workspace}/{data.name}/{data.version}",
            "files": [self._file(workspace, file) for file in files],
        }

    def _file(self, workspace: str, file: DataFile) -> DataFileRecord:
        record: DataFileRecord = {"path": file.path, "sha256": file.sha256, "bytes": file.size_bytes}
        if file.location is None:
            ours = self._blobs.path(workspace, file.sha256)
            return record if ours is None else {**record, "local": str(ours), "is_ours": True}
        return record if file.location.startswith("s3://") else {**record, "local": file.location}
