"""Ray runtime_env plugin that builds overlays and starts workers in them. Runs in the runtime_env agent of every node."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from job_entrypoints.contract import INSTANCE_VARIABLE, OVERLAY_VARIABLE
from job_entrypoints.sandbox.port_server import serve_rules
from raylift.engines.environments.inventory import make_room_after_build
from raylift.engines.environments.overlays.overlay import (
    ensure_overlay,
    is_built,
    overlay_directory,
    overlay_python,
)
from raylift.engines.environments.runtime_env import PLUGIN_NAME
from raylift.ray_internals.runtime_env import RuntimeEnvContext, RuntimeEnvPlugin


class EnvironmentPlugin(RuntimeEnvPlugin):
    """Handles ``{"raylift_environment": {"lock": ["humanize==4.9.0"], "root": "/state/environments"}}``."""

    name = PLUGIN_NAME

    def __init__(self) -> None:
        self._clearing: set[asyncio.Task[None]] = set()
        # This agent lives as long as the node, so it keeps the sandbox's rules of ports for all jobs.
        serve_rules(os.environ.get(INSTANCE_VARIABLE, ""))

    @staticmethod
    def validate(runtime_env_dict: Mapping[str, Any]) -> None:
        """Raise ValueError unless the field has that form."""
        _config(runtime_env_dict)

    def get_uris(self, runtime_env: Mapping[str, Any]) -> list[str]:
        """Return none. For a URI, Ray would call ``create`` only once, but an overlay may be removed and rebuilt."""
        return []

    async def create(
        self, uri: str | None, runtime_env: Mapping[str, Any], context: RuntimeEnvContext, logger: logging.Logger
    ) -> float:
        """Build the overlay if needed. Reports 0 bytes, so that Ray's cache never deletes it."""
        lock, root, max_bytes = _config(runtime_env)
        existed = is_built(overlay_directory(lock, root))
        # In a thread, because the agent's loop sets up the node's other environments meanwhile.
        python = await asyncio.to_thread(ensure_overlay, lock, root, expected=True)
        logger.info("environment of %s is %s", ", ".join(lock), python)
        if not existed and max_bytes is not None:
            # The worker need not wait until others are gone.
            clearing = asyncio.create_task(asyncio.to_thread(make_room_after_build, root, max_bytes, lock, logger))
            self._clearing.add(clearing)
            clearing.add_done_callback(self._clearing.discard)
        return 0

    def modify_context(
        self, uris: list[str], runtime_env: Mapping[str, Any], context: RuntimeEnvContext, logger: logging.Logger
    ) -> None:
        """Start the worker with the overlay's Python, and put its ``bin`` first on PATH; or only name the overlay."""
        directory = overlay_directory(*_config(runtime_env)[:2])
        if runtime_env[PLUGIN_NAME].get("starts_workers") is False:
            context.env_vars[OVERLAY_VARIABLE] = str(directory)
            return
        context.py_executable = str(overlay_python(directory))
        path = context.env_vars.get("PATH", os.environ.get("PATH", os.defpath))
        context.env_vars["PATH"] = f"{directory / 'bin'}{os.pathsep}{path}"
        context.env_vars["VIRTUAL_ENV"] = str(directory)

    def delete_uri(self, uri: str, logger: logging.Logger) -> float:
        """Delete nothing, because overlays outlive Ray's sessions."""
        return 0


def _config(runtime_env: Mapping[str, Any]) -> tuple[list[str], Path, int | None]:
    config = runtime_env.get(PLUGIN_NAME)
    if not isinstance(config, Mapping):
        # Ray documents ValueError for validate.
        raise ValueError(f"runtime_env[{PLUGIN_NAME!r}] has to be an object with 'lock' and 'root', not {config!r}")  # noqa: TRY004
    fields = cast("Mapping[str, Any]", config)
    lock, root, max_bytes = fields.get("lock"), fields.get("root"), fields.get("max_bytes")
    if not isinstance(lock, list) or not lock or not all(isinstance(pin, str) for pin in cast("list[Any]", lock)):
        raise ValueError(f"runtime_env[{PLUGIN_NAME!r}]['lock'] has to be a list of at least one pin, not {lock!r}")
    if not isinstance(root, str) or not Path(root).is_absolute():
        raise ValueError(f"runtime_env[{PLUGIN_NAME!r}]['root'] has to be an absolute path, not {root!r}")
    if max_bytes is not None and not isinstance(max_bytes, int):
        raise ValueError(f"runtime_env[{PLUGIN_NAME!r}]['max_bytes'] has to be a number of bytes, not {max_bytes!r}")
    return cast("list[str]", lock), Path(root), max_bytes
