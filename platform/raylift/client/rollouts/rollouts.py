"""Rollouts: requests for a model go to a candidate version step by step."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from raylift.api import paths
from raylift.api.rollouts.rollouts import RolloutPageView, RolloutView
from raylift.client.http.errors import RayliftError
from raylift.client.http.part import Part

_POLL_SECONDS = 1.0


class RolloutWaitTimeout(RayliftError):
    """The rollout has not ended in time. It goes on."""


class Rollouts(Part):
    """``client.rollouts``. A rollout is named by its id, or by its model: then the active or else the last one is meant."""

    def start(
        self,
        model: str,
        version: str | int,
        *,
        steps: Sequence[Mapping[str, Any] | float] | None = None,
        guards: Mapping[str, float | None] | None = None,
        alias: str | None = None,
    ) -> RolloutView:
        """Start a rollout from the version that answers for the model now.

        Args:
            model: The model.
            version: The candidate: a version's number, or an alias of it.
            steps: E.g. ``[{"shadow": True, "pause_seconds": 300}, {"weight": 5, "min_requests": 100}, {"approval": True},
                100]``; a number is a weight in percent. None: shadow, 5, 25 and 100 percent.
            guards: ``false_alarm``, ``error_increase``, ``p95_ratio``, ``quality_drop``, ``rmse_ratio``. None: not watched.
            alias: MLflow alias that moves at the end. None: the one in the traffic table, if any.

        Raises:
            InvalidRequest: A step or the version is wrong; ``errors`` has each field.
            Conflict: The model has a rollout that has not ended.
        """
        body: dict[str, Any] = {"model_name": model, "version": version}
        if steps is not None:
            body["steps"] = [dict(step) if isinstance(step, Mapping) else {"weight": step} for step in steps]
        if guards is not None:
            body["guards"] = dict(guards)
        if alias is not None:
            body["alias"] = alias
        return self._connection.view(RolloutView, "POST", paths.ROLLOUTS, json=body)

    def get(self, rollout: str) -> RolloutView:
        """One rollout. Raises NotFound."""
        return self._connection.view(RolloutView, "GET", paths.rollout(rollout))

    def list(self, *, model: str | None = None, active: bool | None = None, limit: int | None = None) -> Iterator[RolloutView]:
        """Iterate over rollouts, newest first: of one model, or only those that have (not) ended."""
        asked = {"model_name": model, "active": active, "limit": 50 if limit is None else min(50, limit)}
        pages = self._connection.pages(RolloutPageView, paths.ROLLOUTS, asked)
        return islice((each for page in pages for each in page.rollouts), limit)

    def follow(self, rollout: str, *, timeout: float | None = None) -> Iterator[RolloutView]:
        """Yield a rollout whenever its message changes, until it has ended. Raises RolloutWaitTimeout after ``timeout`` s."""
        clock = self._connection.clock
        deadline = None if timeout is None else clock.now() + timeout
        seen = self.get(rollout)
        told: builtins.list[str] = []
        while True:
            if not told or told[-1] != seen.message:
                told.append(seen.message)
                yield seen
            if not seen.active:
                return
            if deadline is not None and clock.now() >= deadline:
                raise RolloutWaitTimeout(f"The rollout {seen.rollout_id} is {seen.status} after {timeout:g} s: {seen.message}")
            clock.sleep(_POLL_SECONDS)
            seen = self.get(seen.rollout_id)

    def wait(self, rollout: str, *, timeout: float | None = None) -> RolloutView:
        """Wait for the end of a rollout and return it. Raises RolloutWaitTimeout after ``timeout`` seconds."""
        *_, last = self.follow(rollout, timeout=timeout)
        return last

    def approve(self, rollout: str) -> RolloutView:
        """Let a rollout go on that waits for approval. Raises Conflict where it does not wait."""
        return self._act(rollout, "approve")

    def reject(self, rollout: str, *, reason: str | None = None) -> RolloutView:
        """Roll back a rollout that waits for approval."""
        return self._act(rollout, "reject", reason)

    def pause(self, rollout: str) -> RolloutView:
        """Hold a rollout at its step. Its guards go on."""
        return self._act(rollout, "pause")

    def resume(self, rollout: str) -> RolloutView:
        """Let a paused rollout go on."""
        return self._act(rollout, "resume")

    def abort(self, rollout: str, *, reason: str | None = None) -> RolloutView:
        """End a rollout with the traffic that there was before."""
        return self._act(rollout, "abort", reason)

    def promote(self, rollout: str) -> RolloutView:
        """Skip the steps that are left."""
        return self._act(rollout, "promote")

    def _act(self, rollout: str, action: str, reason: str | None = None) -> RolloutView:
        body = {} if reason is None else {"reason": reason}
        return self._connection.view(RolloutView, "POST", paths.rollout(rollout, action), json=body)
