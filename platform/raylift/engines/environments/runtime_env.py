"""The runtime_env field that Ray hands to the plugin, and how Ray is told of the plugin. Loads no Ray."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

PLUGIN_NAME: Final = "raylift_environment"
"""The plugin's field in a runtime_env."""

PLUGINS_VARIABLE: Final = "RAY_RUNTIME_ENV_PLUGINS"
"""Read by the runtime_env agent of each node: has to be in the environment of ``ray start``."""
PLUGINS_VALUE: Final = json.dumps([{"class": "raylift.engines.environments.plugin.EnvironmentPlugin"}])


def runtime_env_for(lock: Sequence[str], root: Path | str) -> dict[str, Any]:
    """The part of a runtime_env that runs a job, an actor or a replica in the overlay of ``lock``; {} for an empty lock."""
    if not lock:
        return {}
    # Sorted: Ray tells environments apart by their text, and starts new workers for each.
    return {PLUGIN_NAME: {"lock": sorted(set(lock)), "root": str(root)}}
