"""The supervisor's loop: hold the lease, observe, plan, act. All its state is in the store; it may be killed at any point."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from raylift.domain.errors import EngineUnavailable, StaleLease
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.settings import SupervisorSettings
from raylift.store import Store
from raylift.supervisor.deployments.reconcile import DeploymentReconciler
from raylift.supervisor.jobs.start_jobs import JobStarter
from raylift.supervisor.jobs.watch_jobs import JobWatcher
from raylift.supervisor.periodic import PeriodicTask
from raylift.supervisor.serial_tasks import SerialTaskRunner
from raylift.supervisor.store_view import StoreView
from raylift.supervisor.sweeps.execute import SweepExecutor
from raylift.supervisor.tick_timer import TickTimer

log = logging.getLogger(__name__)

_LOOKS_PER_LEASE: Final = 15


class LostLease(Exception):
    """Another supervisor has taken the lease of this one."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """Parts of the supervisor, by the subject that they look after."""

    starter: JobStarter
    watcher: JobWatcher
    sweeps: SweepExecutor
    deployments: DeploymentReconciler
    periodic: Sequence[PeriodicTask]


class Supervisor:
    """One supervisor. Any number may run; the lease lets one act. One that has lost it ends, since others changed the world."""

    def __init__(
        self,
        settings: SupervisorSettings,
        *,
        holder: str,
        store: Store,
        view: StoreView,
        subjects: Subjects,
        tasks: SerialTaskRunner,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._holder = holder
        self._store = store
        self._view = view
        self._subjects = subjects
        self._tasks = tasks
        self._clock = clock
        self._monotonic = monotonic
        self._lease: Lease | None = None
        self._asks_again_at = 0.0
        """Next look of a standby, which would otherwise write to the store at each tick."""
        self._timer = TickTimer(settings.tick_seconds, view.was_written_to, monotonic)

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set or the lease is lost. A tick that fails is logged, and the next one tries again."""
        while not stop.is_set():
            try:
                self._timer.wait(stop)
                self.tick()
            except LostLease as error:
                log.warning("%s", error)
                break
            except (StaleLease, EngineUnavailable) as error:
                log.warning("%s", error)
            except Exception:
                # Running jobs must still be watched.
                log.exception("a tick failed")
        if self._lease is not None:
            self._store.leases.release(self._lease)

    def tick(self) -> None:
        """Look at everything once. Slow work runs in the background. Raises LostLease: another supervisor acts now."""
        lease = self._hold_lease()
        if lease is None:
            return
        view, subjects = self._view, self._subjects
        starter, deployments = subjects.starter, subjects.deployments
        changed = view.refresh(starter.rooms, again=starter.nodes_are_old and view.jobs_wait)
        self._timer.found(news=changed)
        # Separately: running jobs are watched also while the nodes are unknown, and the other way round.
        self._try(subjects.watcher.watch, lease)
        if changed or view.cancelled or view.released:
            self._try(starter.start, lease)
        if changed:
            deployments.notice_change()
        for sweep_id in [sweep.sweep_id for sweep in view.sweeps]:
            self._tasks.run(sweep_id, lambda sweep_id=sweep_id: subjects.sweeps.attend(lease, sweep_id), asks_mlflow=True)
        for task in subjects.periodic:
            if task.is_due():
                self._tasks.run(
                    task.name,
                    lambda task=task: task.run(lease),
                    pause_seconds=task.pause_seconds,
                    asks_mlflow=task.asks_mlflow,
                )

    def _try(self, part: Callable[[Lease], None], lease: Lease) -> None:
        try:
            part(lease)
        except EngineUnavailable as error:
            log.warning("%s", error)
        except StaleLease:
            raise
        except Exception:
            log.exception("a part of a tick failed")

    def _hold_lease(self) -> Lease | None:
        now, seconds = self._clock(), self._settings.lease_seconds
        # A lease with more time left than it was taken for was taken before the clock was set back.
        if self._lease is not None and seconds / 2 < (self._lease.expires_at - now).total_seconds() <= seconds:
            return self._lease
        if self._lease is None and self._monotonic() < self._asks_again_at:
            return None
        held = self._lease
        self._lease = self._store.leases.acquire(SUPERVISOR, self._holder, now=now, seconds=seconds)
        # With another token it is held again, after one that had it and ended.
        if held is not None and (self._lease is None or self._lease.token != held.token):
            raise LostLease(f"{self._holder} was silent for longer than its lease: another supervisor took it.")
        if self._lease is None:
            self._asks_again_at = self._monotonic() + seconds / _LOOKS_PER_LEASE
        elif held is None:
            log.info("%s holds the lease, token %d", self._holder, self._lease.token)
        return self._lease
