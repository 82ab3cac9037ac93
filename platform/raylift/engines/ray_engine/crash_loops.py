"""Detects crash loops: versions that load, but whose processes die again and again. Each new one costs seconds of CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from raylift.domain.models.deployment import ApplicationSnapshot, ApplicationState

Key = tuple[str, str]

MOST_DEATHS: Final = 5
WITHIN_SECONDS: Final = 300.0


@dataclass(slots=True)
class _History:
    is_failing: bool = False
    deaths: deque[float] = field(default_factory=deque[float])


class CrashLoops:
    """Counts deaths of processes, by version. A new supervisor begins at zero."""

    def __init__(self) -> None:
        self._histories: dict[Key, _History] = {}

    def judged(self, seen: Mapping[Key, ApplicationSnapshot], now: float) -> dict[Key, ApplicationSnapshot]:
        """Mark applications as failed whose processes died ``MOST_DEATHS`` times within ``WITHIN_SECONDS``.

        Simultaneous deaths count as one, as when a machine runs out of memory. ``now`` is monotonic seconds.
        """
        self._histories = {key: history for key, history in self._histories.items() if key in seen}
        return {key: self._judged(key, app, now) for key, app in seen.items()}

    def _judged(self, key: Key, app: ApplicationSnapshot, now: float) -> ApplicationSnapshot:
        history = self._histories.setdefault(key, _History())
        if app.replica_died and not history.is_failing:
            history.deaths.append(now)
        history.is_failing = app.replica_died
        while history.deaths and now - history.deaths[0] > WITHIN_SECONDS:
            history.deaths.popleft()
        if len(history.deaths) < MOST_DEATHS:
            return app
        message = (
            f"It loads, but its processes died {len(history.deaths)} times in {now - history.deaths[0]:.0f} s, so it is not "
            "started again. A request may kill them (the replicas' logs say more), or they need more memory than there is."
        )
        # A later change of the deployment tries again, with a count of zero.
        history.deaths.clear()
        return replace(app, state=ApplicationState.FAILED, message=message)
