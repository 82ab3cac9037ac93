"""Checks that a replica is confined as the settings want, before anything of its model is opened."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import MutableMapping

from raylift.domain.models.replica import CANNOT_CONFINE, CONFINED_BY, CONFINEMENT, NOT_CONFINED

_log = logging.getLogger(__name__)


def require_confinement(environ: MutableMapping[str, str] = os.environ) -> None:  # noqa: TID251 - written before this process started
    """Check that the first step of this process's start (ray_internals/setup_worker.py) has confined it.

    Raises:
        RuntimeError: It has to be and is not; the message says why.
    """
    # For Ray alone, which has read it.
    environ.pop("RAY_AUTH_TOKEN", None)
    reason, held = environ.get(NOT_CONFINED), environ.get(CONFINED_BY)
    if reason is None and held is None and CONFINEMENT in environ:
        # Ray's own first step starts replicas of a node that was started by hand.
        missing = "its Ray node was not started by Raylift"
        reason = missing if json.loads(environ[CONFINEMENT])["required"] else None
        _log.warning("Models are not confined here: %s", missing)
    if reason is not None:
        raise RuntimeError(f"{CANNOT_CONFINE}: {reason}.")
    _log.info("confined by: %s", held or "nothing")
