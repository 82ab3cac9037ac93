"""Keeps the files that a job has made as a version of its dataset, exactly once."""

from __future__ import annotations

from typing import Final

from job_entrypoints.contract import RESULT_VARIABLE
from raylift.domain.errors import InvalidRequest, TooLarge
from raylift.domain.job import Job
from raylift.domain.job_data import DatasetReference
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.datasets.results import ResultRefused
from raylift.services.datasets.datasets import DatasetService
from raylift.settings import PlatformSettings
from raylift.store import Store

_MOST_KEPT: Final = 1000


class JobResults:
    """May be repeated after a kill: the same files are the same version."""

    def __init__(self, store: Store, settings: PlatformSettings) -> None:
        self._datasets = DatasetService(store, settings)
        self._kept: dict[str, DatasetReference] = {}
        """Versions of jobs whose registration goes on: a further try does not copy the files again."""

    def keep(self, job: Job, directory: AttemptDirectory) -> DatasetReference | None:
        """Return the version of what the job has written; None for a job that makes no dataset.

        Raises:
            ResultRefused: it has written nothing, or what no dataset takes.
            EngineUnavailable: the files cannot be stored now.
        """
        name = job.spec.output_dataset
        if name is None:
            return None
        if (kept := self._kept.get(job.job_id)) is not None:
            return kept
        owner, workspace = job.spec.owner, job.spec.workspace
        try:
            version = self._datasets.add_result(workspace, name, directory.result(), by=owner, job_id=job.job_id)
        except (InvalidRequest, TooLarge, ResultRefused) as error:
            said = error.detail if isinstance(error, InvalidRequest | TooLarge) else str(error)
            raise ResultRefused(f"Its files cannot become a version of the dataset {name}: {said}") from error
        if version is None:
            detail = (
                f"The script wrote no file to the folder that {RESULT_VARIABLE} names, for a version of the dataset {name}."
            )
            raise ResultRefused(detail)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[job.job_id] = DatasetReference(version.name, version.version)
        return self._kept[job.job_id]
