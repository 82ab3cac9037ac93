"""The plugin's field in a runtime_env, and the plugin's registration with Ray. Does not load Ray."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from job_entrypoints.contract import OVERLAY_READY_FILE

PLUGIN_NAME: Final = "raylift_environment"
"""The plugin's field in a runtime_env."""

READY: Final = OVERLAY_READY_FILE
"""Written last in an overlay: its existence marks the overlay as complete, and it lists the packages."""

OVERLAY: Final = "overlay"
RAY_UV: Final = "ray_uv"
"""Ray's own ``uv`` field. Needs nothing on the nodes, but copies the base for each environment."""

PLUGINS_VARIABLE: Final = "RAY_RUNTIME_ENV_PLUGINS"
"""Read by the runtime_env agent of each node, so it has to be set for ``ray start``."""
PLUGINS_VALUE: Final = json.dumps([{"class": "raylift.engines.environments.plugin.EnvironmentPlugin"}])


def runtime_env_for(
    lock: Sequence[str],
    root: Path | str,
    *,
    mechanism: str = OVERLAY,
    max_bytes: int | None = None,
    starts_workers: bool = True,
) -> dict[str, Any]:
    """Return the part of a runtime_env that runs a job, an actor or a replica in the environment of ``lock``.

    Args:
        lock: pins beyond the base; an empty lock returns {}.
        root: directory of all overlays.
        mechanism: OVERLAY, or RAY_UV for a cluster whose nodes do not have the plugin.
        max_bytes: limit of all overlays, beyond which the least recently used are removed. None: unlimited.
        starts_workers: False builds the overlay, but starts Ray's worker in the base: packages of an overlay may run code when
            an interpreter starts. RAYLIFT_OVERLAY then names the overlay.
    """
    if not lock:
        return {}
    # Sorted, because Ray compares environments as text and starts new workers for each.
    pins = sorted(set(lock))
    if mechanism == RAY_UV:
        # The lock is complete, hence --no-deps. The option also replaces Ray's own --no-cache.
        return {"uv": {"packages": pins, "uv_pip_install_options": ["--no-deps"]}}
    limit = {} if max_bytes is None else {"max_bytes": max_bytes}
    worker = {} if starts_workers else {"starts_workers": False}
    return {PLUGIN_NAME: {"lock": pins, "root": str(root), **limit, **worker}}
