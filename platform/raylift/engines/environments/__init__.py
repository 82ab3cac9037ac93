"""Environments: requirements are resolved once into a lock, built once into an overlay, and used by jobs and replicas alike.

``resolve`` (resolve.py) makes the lock, ``ensure_overlay`` (overlay.py) builds it, ``EnvironmentPlugin`` (plugin.py) makes Ray
run in it. docs/environments.md tells users, docs/adr/0004 tells why Ray's own fields are not used.
"""

from __future__ import annotations

from raylift.engines.environments.errors import EnvironmentBuildFailed, EnvironmentUnresolvable, build_failure_in
from raylift.engines.environments.runtime_env import PLUGINS_VALUE, PLUGINS_VARIABLE, runtime_env_for

__all__ = [
    "PLUGINS_VALUE",
    "PLUGINS_VARIABLE",
    "EnvironmentBuildFailed",
    "EnvironmentUnresolvable",
    "build_failure_in",
    "runtime_env_for",
]
