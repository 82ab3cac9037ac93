"""Whether a version answers, for those who only look: nothing is held, loaded or started for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson
from fastapi import Response

from raylift.api.headers import MODEL_VERSION
from raylift.domain.deployment import Deployment
from raylift.services.traffic.routing import InferenceRouting, Starting, Wanted, not_ready

PROBES: Final = frozenset({"ready", "ping", "health"})
"""The Open Inference Protocol's, and MLflow's two."""


async def version_that_answers(routing: InferenceRouting, wanted: Wanted) -> Deployment:
    """The version that would answer now, at once or after it was started.

    Raises:
        PlatformError: as ``InferenceRouting.choose``; DeploymentNotReady.
    """
    # Where a table divides the requests, what is said must not change from one look to the next.
    choice = await routing.choose(replace(wanted, chance=0.0))
    if isinstance(choice, Starting):
        raise not_ready(choice.model_name, choice.version)
    return choice


async def probed(routing: InferenceRouting, wanted: Wanted, probe: str) -> Response:
    """The answer that its replica gives to one of ``PROBES``. Raises as ``version_that_answers``."""
    version = await version_that_answers(routing, wanted)
    body = orjson.dumps({"name": version.model_name, "ready": True}) if probe == "ready" else b"\n"
    return Response(body, headers={MODEL_VERSION: version.version}, media_type="application/json")
