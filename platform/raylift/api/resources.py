"""Schemas of what a job requests: CPUs, memory, GPUs and workers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Amount, Figure, OptionalAmount
from raylift.domain.quantities import format_bytes


class WorkersRequest(BaseModel):
    """Ray workers of a job, which start together with its script or not at all."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    count: Annotated[int, Field(ge=1, le=10_000)]
    cpus: Annotated[float, Field(ge=0.1, le=1_000_000, description="Logical CPUs of each worker.")] = 1.0
    memory: Annotated[Amount, Field(description="Memory of each worker.")] = "2GiB"
    gpus: Annotated[float, Field(ge=0, le=1_000_000, description="Logical GPUs of each worker.")] = 0.0
    strategy: Annotated[
        Literal["pack", "spread"], Field(description="`pack`: on as few nodes as possible. `spread`: on as many.")
    ] = "pack"


class ResourceRequest(BaseModel):
    """Resources that a job requests, which are also its limits."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cpus: Annotated[float, Field(ge=0.1, le=1_000_000, description="Logical CPUs, fractions allowed.")] = 1.0
    memory: Annotated[Amount, Field(description='Bytes, or a string such as "2GiB", "512MiB", "1.5G".')] = "2GiB"
    gpus: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    workers: Annotated[
        WorkersRequest | None,
        Field(description="Beside the script, whose resources the other fields are. They need `isolation: cluster`."),
    ] = None


class RerunResources(BaseModel):
    """Resources of a rerun. Omitted ones stay."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cpus: Annotated[float | None, Field(ge=0.1, le=1_000_000)] = None
    memory: OptionalAmount = None
    gpus: Annotated[float | None, Field(ge=0, le=1_000_000)] = None
    workers: Annotated[WorkersRequest | None, Field(description="Replaces the workers.")] = None


class WorkersView(BaseModel):
    """Workers of a job; the amounts are of each."""

    count: int
    cpus: Figure
    memory: Annotated[int, Field(description="Bytes.")]
    gpus: Figure
    strategy: str

    def __str__(self) -> str:
        """Return ``4 workers of 2 CPU, 8 GiB each (pack)``."""
        return f"{self.count} workers of {_amounts(self.cpus, self.memory, self.gpus)} each ({self.strategy})"


class ResourceView(BaseModel):
    cpus: Figure
    memory: Annotated[int, Field(description="Bytes.")]
    gpus: Figure
    workers: Annotated[WorkersView | None, Field(description="Beside the script, whose resources the other fields are.")] = None

    def __str__(self) -> str:
        """Return ``1 CPU, 2 GiB, 4 workers of 2 CPU, 8 GiB each (pack)``."""
        return _amounts(self.cpus, self.memory, self.gpus) + (f", {self.workers}" if self.workers else "")


def _amounts(cpus: float, memory: int, gpus: float) -> str:
    return f"{cpus:g} CPU, {format_bytes(memory)}" + (f", {gpus:g} GPU" if gpus else "")
