"""Base classes of runtime_env plugins. Ray documents them, but keeps them in a private package."""

from __future__ import annotations

from ray._private.runtime_env.context import RuntimeEnvContext
from ray._private.runtime_env.plugin import RuntimeEnvPlugin

__all__ = ["RuntimeEnvContext", "RuntimeEnvPlugin"]
