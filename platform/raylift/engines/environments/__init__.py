"""Environments: requirements are resolved once into a lock, built once into an overlay, and used by jobs and replicas alike.

``resolve`` (resolve.py) makes the lock, ``ensure_overlay`` (overlay.py) builds it, ``EnvironmentPlugin`` (plugin.py) makes Ray
run in it, ``make_room`` (inventory.py) removes unused ones (in_use.py). docs/guides/environments.md is for users;
docs/adr/0004 says why Ray's own fields are not used.
"""

from __future__ import annotations

from raylift.engines.environments.errors import (
    EnvironmentBuildFailed,
    EnvironmentInUse,
    EnvironmentNotFound,
    EnvironmentUnresolvable,
    build_failure_in,
)
from raylift.engines.environments.runtime_env import OVERLAY, PLUGINS_VALUE, PLUGINS_VARIABLE, RAY_UV, runtime_env_for

__all__ = [
    "OVERLAY",
    "PLUGINS_VALUE",
    "PLUGINS_VARIABLE",
    "RAY_UV",
    "EnvironmentBuildFailed",
    "EnvironmentInUse",
    "EnvironmentNotFound",
    "EnvironmentUnresolvable",
    "build_failure_in",
    "runtime_env_for",
]
