"""Specs of the jobs of batches, with the version that a request names at the time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from raylift.domain.batches.batch import SCRIPT, SCRIPT_NAME, BatchSpec, Format, format_of, is_file_name
from raylift.domain.errors import DeploymentNotReady, InvalidRequest, VersionNotFound
from raylift.domain.identifiers import version_number
from raylift.domain.job import Isolation, JobSpec, Network
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.services.batches.request import BatchRequest
from raylift.services.batches.version import RETRY_SECONDS, require_scanned, with_version
from raylift.services.ports import Registry
from raylift.services.uploads.batch_paths import check_again, location_of
from raylift.settings import PlatformSettings
from raylift.store import Store

_SCRIPT: Final = SCRIPT.encode()


class BatchSpecs:
    def __init__(self, store: Store, registry: Registry, settings: PlatformSettings) -> None:
        self._store, self._registry, self._settings = store, registry, settings

    def spec(self, request: BatchRequest, *, version_of: str | None = None) -> JobSpec:
        """Return the spec of a right request. With ``version_of``, a job that has yet to register it, the version is left open.

        Raises:
            ModelNotFound, VersionNotFound: there is no such model, version or alias.
            DeploymentNotReady: the platform has not read the version's files yet.
        """
        output = None if request.output is None else location_of(request.output)
        named = format_of(output) if output is not None and is_file_name(output) else None
        batch = BatchSpec(
            model_name=request.model_name,
            version="",
            version_of=version_of,
            alias=request.alias,
            input=None if request.input is None else location_of(request.input),
            output=output,
            uploads=tuple(file.name for file in request.uploads),
            input_format=request.input_format,
            output_format=request.output_format or named or Format.PARQUET,
            columns=None if request.columns is None else tuple(request.columns),
            keep=None if request.keep is None else tuple(request.keep),
            probabilities=request.probabilities,
            on_error=request.on_error,
            stamp=request.stamp,
            params=request.params,
            newest=request.version is None and request.alias is None,
        )
        spec = JobSpec(
            script_sha256=hashlib.sha256(_SCRIPT).hexdigest(),
            script_name=SCRIPT_NAME,
            experiment_name=request.model_name,
            secrets=tuple(request.secrets),
            timeout_seconds=request.timeout_seconds,
            resources=request.resources,
            max_retries=request.max_retries,
            priority=request.priority,
            autolog=False,
            deploy=False,
            take_traffic=False,
            tags=request.tags,
            owner=request.owner,
            workspace=request.workspace,
            isolation=Isolation.SANDBOX,
            network=Network.FULL,  # As a replica's model has it.
            batch=batch,
        )
        if version_of is not None:
            return spec
        return with_version(spec, self._deployment(request.model_name, request.version, request.alias))

    def renewed(self, spec: JobSpec) -> JobSpec:
        """Return the spec of another batch like this one, with the version that its alias names now. Other jobs stay.

        Raises:
            InvalidRequest: the input is gone, the output exists, or a path is not allowed any more.
            ModelNotFound, VersionNotFound, DeploymentNotReady: as for a new batch.
        """
        batch = spec.batch
        if batch is None:
            return spec
        errors = list(check_again(batch, self._settings.jobs))
        if errors:
            raise InvalidRequest.of(*errors)
        version = None if batch.newest else batch.version
        return with_version(spec, self._deployment(batch.model_name, version, batch.alias))

    def _deployment(self, name: str, version: str | None, alias: str | None) -> Deployment:
        """Return the deployment of the version that is named now: its files and its environment."""
        if alias is not None:
            version = self._registry.version_of_alias(name, alias)
        rows = self._store.deployments.list(name)
        if version is None:
            row = _newest(rows)
            if row is None:
                self._registry.model(name)
                raise VersionNotFound(f"{name!r} has no version that can be loaded: name one.", model_name=name, versions=[])
        else:
            row = next((each for each in rows if each.version == version), None)
        if row is None:
            registered = self._registry.version(name, version or "")  # Raises the better error for one that does not exist.
            raise VersionNotFound(
                f"{name!r} version {registered.version} was never deployed, so its files are unknown: deploy it first.",
                model_name=name,
                versions=[each.version for each in rows],
            )
        if row.files is None:
            detail = f"{name} version {row.version} is new, and its files are still being read: try again in some seconds."
            raise DeploymentNotReady(detail, retry_after_seconds=RETRY_SECONDS)
        require_scanned(row, self._settings)
        return row


def _newest(rows: Sequence[Deployment]) -> Deployment | None:
    able = [row for row in rows if row.wanted and row.status is not DeploymentStatus.UNHEALTHY]
    return max(able, key=lambda row: version_number(row.version), default=None)
