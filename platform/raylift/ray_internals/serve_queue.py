"""How many requests Ray Serve holds in this replica's process, beyond those that it has let in."""

from __future__ import annotations

import logging
from typing import Any, Final

_log = logging.getLogger(__name__)

_REPLICA: Final = "_replica_impl"
_HELD: Final = "_num_queued_requests"


class ServeQueue:
    """Serve tells nobody: it is read off Serve's own actor, which lives in the same process.

    Where another release of Ray has it differently, a line in the log says so, and none are seen.
    """

    def __init__(self) -> None:
        # Imported here: only a replica's process has the actor.
        from ray._private import worker

        actors: Any = worker.global_worker.actors
        found = (getattr(actor, _REPLICA, None) for actor in actors.values())
        self._replica: Any = next((replica for replica in found if hasattr(replica, _HELD)), None)
        if self._replica is None:
            _log.warning("Requests that Ray Serve holds are not counted: this release of Ray keeps their number elsewhere")

    def held(self) -> int:
        return getattr(self._replica, _HELD, 0)
