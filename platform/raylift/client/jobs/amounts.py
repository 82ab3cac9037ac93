"""Words for the resources of a job."""

from __future__ import annotations

from raylift.api.jobs.resources import ResourceView
from raylift.domain.quantities import format_bytes


def asked_for(wanted: ResourceView) -> str:
    """Return ``1 CPU, 2 GiB, 4 workers of 2 CPU, 8 GiB each (pack)``."""
    text, its = _amounts(wanted.cpus, wanted.memory, wanted.gpus), wanted.workers
    if its is None:
        return text
    return f"{text}, {its.count} workers of {_amounts(its.cpus, its.memory, its.gpus)} each ({its.strategy})"


def _amounts(cpus: float, memory: int, gpus: float) -> str:
    return f"{cpus:g} CPU, {format_bytes(memory)}" + (f", {gpus:g} GPU" if gpus else "")
