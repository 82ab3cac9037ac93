"""Checks that a replica runs in the environment of its version.

Ray ignores fields of a runtime_env that it does not know. On a node without Raylift's plugin a replica would therefore load its
model with the base's packages and might predict differently without an error. A job's wrapper has the same check
(job_entrypoints/script/environment_check.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raylift.domain.models.replica import LACKS_PLUGIN
from raylift.engines.environments.runtime_env import PLUGIN_NAME, READY


def require_environment(runtime_env: Mapping[str, Any], node: str, overlay: str | None) -> None:
    """Check that the node's plugin has named the overlay of ``runtime_env``, in which the model's process runs.

    Raises:
        RuntimeError: It does not; the message says what to do on the node.
    """
    field = runtime_env.get(PLUGIN_NAME)
    if field is None:
        return
    lock = sorted(field["lock"])
    prefix = overlay or sys.prefix
    ready = Path(prefix, READY)
    if ready.is_file() and sorted(json.loads(ready.read_bytes())["lock"]) == lock:
        return
    raise RuntimeError(
        f"Ray's node {node} started the replica in {prefix}, without the version's packages ({', '.join(lock)}): "
        f"{LACKS_PLUGIN}. Start the node with Raylift installed and RAY_RUNTIME_ENV_PLUGINS in the "
        "environment of its `ray start`, or set environments.mechanism: ray_uv "
        "(docs/guides/environments.md, Without the plugin)."
    )
