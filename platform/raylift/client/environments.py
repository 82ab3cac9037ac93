"""Environments of jobs and replicas."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any, Final

from raylift.api import paths
from raylift.api.environments import EnvironmentList, EnvironmentView
from raylift.client.http.part import Part
from raylift.client.jobs.script import read_requirements

RESOLVE_SECONDS: Final = 150.0
"""Time-out of ``prewarm``: the platform resolves first, which may need a slow package index."""


class Environments(Part):
    """``client.environments``: the environments on the machine of the platform's gateway."""

    def list(self) -> builtins.list[EnvironmentView]:
        """All environments: unbuilt ones first, then the longest unused."""
        return self._connection.view(EnvironmentList, "GET", paths.ENVIRONMENTS).environments

    def get(self, name: str) -> EnvironmentView:
        """One environment, by its hash or by the id of a job."""
        return self._connection.view(EnvironmentView, "GET", paths.environment(name))

    def prewarm(
        self, requirements: Iterable[str] | str | PathLike[str], *, torch_backend: str | None = None
    ) -> EnvironmentView:
        """Resolve requirements, as a list or a requirements.txt, and start to build their environment; then ``wait`` for it.

        Raises:
            InvalidRequest: No packages satisfy the requirements; the detail names them.
        """
        body: dict[str, Any] = {"requirements": read_requirements(requirements)}
        if torch_backend is not None:
            body["torch_backend"] = torch_backend
        return self._connection.view(
            EnvironmentView, "POST", paths.ENVIRONMENTS, json=body, resend=True, timeout=RESOLVE_SECONDS
        )

    def wait(
        self,
        environment: EnvironmentView,
        *,
        timeout: float | None = None,
        poll: float = 0.5,
        report: Callable[[EnvironmentView], None] = lambda _: None,
    ) -> EnvironmentView:
        """Wait until an environment is built, or its build has failed with a ``message``.

        Args:
            environment: View from ``prewarm`` or ``get``.
            timeout: Seconds to wait. None: no limit.
            poll: Seconds between two fetches.
            report: Called with each fetched view; its ``progress`` has the bytes downloaded so far.

        Raises:
            TimeoutError: The environment is not built after ``timeout`` seconds.
        """
        clock = self._connection.clock
        deadline = None if timeout is None else clock.now() + timeout
        while environment.hash is not None and not environment.built and environment.message is None:
            if deadline is not None and clock.now() >= deadline:
                raise TimeoutError(f"environment {environment.hash} is not built after {timeout:g} s")
            clock.sleep(poll)
            environment = self.get(environment.hash)
            report(environment)
        return environment

    def delete(self, name: str) -> None:
        """Remove an unused environment.

        Raises:
            Conflict: A job or a replica uses it.
        """
        self._connection.json("DELETE", paths.environment(name))
