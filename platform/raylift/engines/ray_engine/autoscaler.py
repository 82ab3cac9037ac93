"""Ray's autoscaler: asks for machines. It starts them, and ends idle ones that are no longer asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ray.autoscaler.sdk import request_resources

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Resources


class Autoscaler:
    """The autoscaler of the cluster that this process is connected to."""

    def request(self, places: Sequence[Resources]) -> None:
        """Ask for a cluster that holds all these at the same time, when it is empty. It replaces what was asked before.

        Raises:
            EngineUnavailable: Ray does not answer.
        """
        try:
            request_resources(bundles=[_bundle(place) for place in places])
        except Exception as error:  # Ray raises bare RuntimeError, ConnectionError and its own kinds here.
            raise EngineUnavailable(f"Ray's autoscaler was not asked for nodes: {error}") from error


def _bundle(place: Resources) -> dict[str, float]:
    amounts = {"CPU": place.cpus, "memory": float(place.memory_bytes), "GPU": place.gpus}
    return {name: amount for name, amount in amounts.items() if amount}
