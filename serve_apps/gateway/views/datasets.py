"""Datasets in the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from raylift.api import paths
from raylift.api.datasets.datasets import (
    ColumnProfile,
    DatasetFileView,
    DatasetSummary,
    DatasetUseView,
    DatasetVersionSummary,
    DatasetVersionView,
    DatasetView,
)
from raylift.domain.datasets.dataset import DataFile, Dataset, DatasetUse, DatasetVersion


def dataset_summary(dataset: Dataset) -> DatasetSummary:
    return DatasetSummary(name=dataset.newest.name, versions=dataset.versions, newest=version_summary(dataset.newest))


def dataset_view(name: str, versions: Sequence[DatasetVersion], uses: Sequence[DatasetUse]) -> DatasetView:
    return DatasetView(
        name=name,
        versions=[version_summary(each) for each in versions],
        uses=[_use(each) for each in uses],
        links={"self": paths.dataset(name)},
    )


def version_summary(version: DatasetVersion) -> DatasetVersionSummary:
    own = paths.dataset_version(version.name, version.version)
    job = {} if version.job_id is None else {"job": paths.job(version.job_id)}
    return DatasetVersionSummary(
        name=version.name,
        version=version.version,
        reference=version.reference,
        digest=version.digest,
        size_bytes=version.size_bytes,
        file_count=version.file_count,
        folder=version.is_folder,
        format=version.profile.format,
        rows=version.profile.rows,
        column_count=len(version.profile.columns),
        source=version.source,
        job_id=version.job_id,
        created_at=version.created_at,
        created_by=version.created_by,
        links={"self": own, "dataset": paths.dataset(version.name), "file": f"{own}/file", **job},
    )


def version_view(version: DatasetVersion, files: Sequence[DataFile], uses: Sequence[DatasetUse]) -> DatasetVersionView:
    return DatasetVersionView(
        **dict(version_summary(version)),
        columns=[ColumnProfile.model_validate(dict(each)) for each in version.profile.columns],
        profiled_rows=version.profile.profiled_rows,
        note=version.profile.note,
        files=[DatasetFileView(path=each.path, sha256=each.sha256, size_bytes=each.size_bytes) for each in files],
        uses=[_use(each) for each in uses],
    )


def _use(use: DatasetUse) -> DatasetUseView:
    return DatasetUseView.model_validate(asdict(use))
