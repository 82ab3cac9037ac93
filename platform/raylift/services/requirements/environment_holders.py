"""Names the jobs, deployments and processes that keep an environment from being removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raylift.domain.deployment import DeploymentStatus
from raylift.domain.job import ACTIVE_STATES
from raylift.engines.environments.overlays.in_use import is_expected, processes_in
from raylift.engines.environments.overlays.overlay import environment_hash
from raylift.store import Store

_MOST_NAMED: Final = 5
_COMMAND_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class Holders:
    """Jobs by id, deployments as ``model version 3 (ready)``, other processes as ``4711 (python train.py)``."""

    jobs: tuple[str, ...]
    deployments: tuple[str, ...]
    processes: tuple[str, ...]
    """Processes that hold it; looked for only where no job and no deployment does."""
    expected: bool
    """Ray was told of it a moment ago, and no worker has started in it yet."""

    def sentence(self, name: str) -> str:
        """Sentence on what keeps the environment ``name`` from being removed, and what would end that."""
        if self.jobs or self.deployments:
            parts = [f"job {job}" for job in self.jobs] + [f"the deployment of {row}" for row in self.deployments]
            return f"The environment {name} is in use by {_listed(parts)}. Cancel the jobs and delete the deployments first."
        if self.processes:
            return f"The environment {name} is in use by {_listed([f'process {each}' for each in self.processes])}."
        if self.expected:
            return f"The environment {name} was built for a worker that has not started in it yet: try again in ten minutes."
        return f"The environment {name} is in use: it is being built, or looked at."


def holders_of(name: str, root: Path, store: Store) -> Holders:
    """Look for them in the store, and else among the processes of this machine."""
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


def _listed(parts: list[str]) -> str:
    rest = len(parts) - _MOST_NAMED
    return ", ".join(parts[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
