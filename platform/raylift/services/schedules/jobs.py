"""The job that a moment of a schedule makes, with the rights that the owner has at that time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from raylift.access_settings import OidcSettings
from raylift.domain.access import Principal
from raylift.domain.errors import Forbidden, InvalidRequest, ModelNotFound
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import JobSpec
from raylift.domain.schedules.rights import role_of_owner
from raylift.domain.schedules.schedule import Schedule, job_spec
from raylift.services.access.submitting import require_right_to_submit, require_rights_of_job
from raylift.services.datasets.job_data import JobData
from raylift.services.secrets import SecretService
from raylift.services.uploads.resources import check_quota
from raylift.settings import AuthMode, PlatformSettings, QuotaSettings
from raylift.store import NewJob, Store


class ScheduledJobs:
    """Makes jobs for the gateway and for the supervisor."""

    def __init__(
        self, store: Store, settings: PlatformSettings, secrets: SecretService, renewed_batch: Callable[[JobSpec], JobSpec]
    ) -> None:
        self._store = store
        self._is_keyed = settings.auth is AuthMode.KEYS
        self._oidc: OidcSettings = settings.oidc
        self._quotas: QuotaSettings = settings.jobs.quotas
        self._secrets = secrets
        self._renewed_batch = renewed_batch
        self._data = JobData(store, settings)

    def new_job(self, schedule: Schedule, due_at: datetime, *, now: datetime) -> NewJob:
        """Return the job of a moment.

        Raises:
            Forbidden: the owner has no valid key any more, or its role does not allow the job.
            PlatformError: its batch has no version, no input, or an output that exists.
            InvalidRequest: a secret or a version of a dataset is gone, or the job exceeds the present quota.
        """
        self._require_rights(schedule, now)
        spec = self._renewed_batch(job_spec(schedule, due_at))
        spec = replace(spec, data=self._data.renewed(spec))
        errors = [
            *self._secrets.check(spec.workspace, spec.secrets),
            *self._data.check(spec),
            *check_quota(spec.account, spec.resources, self._quotas),
        ]
        if errors:
            raise InvalidRequest.of(*errors)
        return NewJob(new_job_id(now.timestamp()), spec, self._max_queued(spec))

    def _max_queued(self, spec: JobSpec) -> int | None:
        return self._quotas.of(spec.account).max_queued_jobs

    def _require_rights(self, schedule: Schedule, now: datetime) -> None:
        if not self._is_keyed:
            return
        keys = self._store.keys.of_owner(schedule.owner, schedule.workspace)
        role = role_of_owner(keys, now, sign_in_lasts=timedelta(days=self._oidc.schedule_days))
        if role is None:
            raise Forbidden(
                f"The owner {schedule.owner!r} has no valid key in the workspace {schedule.workspace!r}. Sign in again, ask an "
                f"admin for a key, or let another take it over: raylift schedule update {schedule.name} --take-over",
                owner=schedule.owner,
            )
        owner = Principal(schedule.owner, role, schedule.workspace)
        batch = schedule.template.batch
        if batch is not None and owner.visible_workspace not in (None, self._store.workspaces.of_model(batch.model_name)):
            raise ModelNotFound(f"No model is registered as {batch.model_name!r}.", model_name=batch.model_name)
        require_right_to_submit(owner)
        require_rights_of_job(schedule.template.isolation, schedule.template.promote, owner)
