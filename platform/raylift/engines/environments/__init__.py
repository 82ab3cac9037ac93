"""Environments of jobs and replicas: requirements are resolved into a lock, and a lock is built into an overlay.

``locking`` resolves, ``overlays`` builds, ``plugin`` starts Ray's workers in an overlay, and ``inventory`` lists and removes
overlays. docs/guides/environments.md is for users; docs/adr/0004 says why Ray's own fields are not used.
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
