"""Data of a job: the datasets that it gets, and the one that it makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataInput:
    """A version of a dataset that a job gets (raylift.domain.datasets)."""

    alias: str
    """Name in the job: the variable ``RAYLIFT_DATA_{ALIAS}`` has the local path."""
    name: str
    version: int
    digest: str
    of_job: str | None = None
    """Job whose output it is. Until that job has completed, ``version`` is 0 and ``digest`` is empty."""
    follows_newest: bool = False
    """The upload named no version. A schedule then takes the newest one at each run; a rerun does not."""


@dataclass(frozen=True, slots=True)
class DatasetReference:
    """Name of one version of a dataset."""

    name: str
    version: int
