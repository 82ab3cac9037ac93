"""What jobs and replicas run in."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any, Final

from raylift.api import paths
from raylift.api.environments import EnvironmentList, EnvironmentView
from raylift.client.http.connection import Connection
from raylift.client.jobs.script import read_requirements

RESOLVE_SECONDS: Final = 150.0
"""The platform resolves before it answers, which may need a slow package index."""


class Environments:
    """``client.environments``: those on the machine of the platform's gateway."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> builtins.list[EnvironmentView]:
        """Those that are not built first, then the longest unused."""
        return self._connection.view(EnvironmentList, "GET", paths.ENVIRONMENTS).environments

    def get(self, name: str) -> EnvironmentView:
        """By its hash, or by the id of a job."""
        return self._connection.view(EnvironmentView, "GET", paths.environment(name))

    def prewarm(
        self, requirements: Iterable[str] | str | PathLike[str], *, torch_backend: str | None = None
    ) -> EnvironmentView:
        """Resolve requirements (or those of a requirements.txt) and begin to build what they need; ``wait`` waits for it.

        Raises:
            InvalidRequest: No packages meet them; the detail names which.
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
        """Look at an environment until it is built, or could not be: then its ``message`` says why.

        Args:
            environment: As ``prewarm`` or ``get`` gave it.
            timeout: Seconds to wait; None: as long as it takes.
            poll: Seconds between two looks.
            report: Told of every look; the view's ``progress`` has the bytes downloaded so far.

        Raises:
            TimeoutError: It is not ready after ``timeout`` seconds.
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
        """Remove one that nobody uses.

        Raises:
            Conflict: A job or a replica runs in it.
        """
        self._connection.json("DELETE", paths.environment(name))
