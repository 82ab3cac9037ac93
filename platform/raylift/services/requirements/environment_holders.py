"""Names the jobs, deployments and processes that keep an environment from being removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raylift.domain.job import ACTIVE_STATES
from raylift.domain.listing import listed
from raylift.domain.models.deployment import DeploymentStatus
from raylift.engines.environments.overlays.in_use import is_expected, processes_in
from raylift.engines.environments.overlays.overlay import environment_hash
from raylift.store import Store

_COMMAND_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class Holders:
    """Jobs by id, deployments as ``model version 3 (ready)``, other processes as ``4711 (python train.py)``."""

    jobs: tuple[str, ...]
    deployments: tuple[str, ...]
    processes: tuple[str, ...]
    """Other processes; only searched where there are no jobs and deployments."""
    expected: bool
    """True where it was just built for a worker that has not started yet."""

    def sentence(self, name: str) -> str:
        """Return a sentence on the users of the environment ``name``, and on how to end the use."""
        if self.jobs or self.deployments:
            parts = [f"job {job}" for job in self.jobs] + [f"the deployment of {row}" for row in self.deployments]
            return f"The environment {name} is in use by {listed(parts)}. Cancel the jobs and delete the deployments first."
        if self.processes:
            return f"The environment {name} is in use by {listed([f'process {each}' for each in self.processes])}."
        if self.expected:
            return f"The environment {name} was built for a worker that has not started in it yet: try again in ten minutes."
        return f"The environment {name} is in use: it is being built or read."


def holders_of(name: str, root: Path, store: Store) -> Holders:
    """Search the store, and else the processes of this machine."""
    jobs = [
        job.job_id
        for job in store.jobs.in_states(ACTIVE_STATES)
        if job.environment_lock and environment_hash(job.environment_lock) == name
    ]
    rows = [
        row
        for row in store.deployments.list()
        if row.environment_lock
        and row.status not in {DeploymentStatus.STOPPED, DeploymentStatus.UNHEALTHY}
        and environment_hash(row.environment_lock) == name
    ]
    deployments = [
        f"{row.model_name} version {row.version} ({row.status.replace('_', ' ') if row.wanted else 'stopping'})" for row in rows
    ]
    found = {} if jobs or deployments else processes_in(root / name)
    processes = [f"{pid} ({command[:_COMMAND_LENGTH]})" for pid, command in sorted(found.items())]
    return Holders(tuple(jobs), tuple(deployments), tuple(processes), is_expected(root / name))
