"""The runtime_env field that Ray hands to the plugin, and how Ray is told of the plugin. Loads no Ray."""

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
"""Ray's own ``uv`` field: needs nothing on the nodes, and copies the base for each environment."""

PLUGINS_VARIABLE: Final = "RAY_RUNTIME_ENV_PLUGINS"
"""Read by the runtime_env agent of each node: has to be in the environment of ``ray start``."""
PLUGINS_VALUE: Final = json.dumps([{"class": "raylift.engines.environments.plugin.EnvironmentPlugin"}])


def runtime_env_for(
    lock: Sequence[str], root: Path | str, *, mechanism: str = OVERLAY, max_bytes: int | None = None
) -> dict[str, Any]:
    """The part of a runtime_env that runs a job, an actor or a replica in the environment of ``lock``; {} for an empty lock.

    Args:
        lock: What goes beyond the base.
        root: The directory of all overlays.
        mechanism: OVERLAY, or RAY_UV for a cluster whose nodes do not have the plugin.
        max_bytes: What the overlays may sum up to before the longest unused go; None: none goes.
    """
    if not lock:
        return {}
    # Sorted: Ray tells environments apart by their text, and starts new workers for each.
    pins = sorted(set(lock))
    if mechanism == RAY_UV:
        # --no-deps: the lock is complete. It also takes the place of Ray's own --no-cache.
        return {"uv": {"packages": pins, "uv_pip_install_options": ["--no-deps"]}}
    limit = {} if max_bytes is None else {"max_bytes": max_bytes}
    return {PLUGIN_NAME: {"lock": pins, "root": str(root), **limit}}
