"""Finds versions whose processes die again and again although they load: each new one costs the others seconds of CPU time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from raylift.domain.deployment import ApplicationSeen, ApplicationState

Key = tuple[str, str]

MOST_DEATHS: Final = 5
WITHIN_SECONDS: Final = 300.0


@dataclass(slots=True)
class _History:
    is_failing: bool = False
    deaths: deque[float] = field(default_factory=deque[float])


class CrashLoops:
    """Remembers when processes died. A new supervisor begins anew."""

    def __init__(self) -> None:
        self._histories: dict[Key, _History] = {}

    def judged(self, seen: Mapping[Key, ApplicationSeen], now: float) -> dict[Key, ApplicationSeen]:
        """``seen``, with those as failed whose processes died ``MOST_DEATHS`` times within a while.

        Deaths in one moment count as one, as when a machine runs out of memory. ``now`` is seconds that never go back.
        """
        self._histories = {key: history for key, history in self._histories.items() if key in seen}
        return {key: self._judged(key, app, now) for key, app in seen.items()}

    def _judged(self, key: Key, app: ApplicationSeen, now: float) -> ApplicationSeen:
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
        # Whoever changes it then, to try again, begins anew.
        history.deaths.clear()
        return replace(app, state=ApplicationState.FAILED, message=message)
