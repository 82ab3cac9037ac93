"""Schemas of ``/mlops/cluster`` and ``/mlops/queue``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from raylift.api.figures import Figure
from raylift.api.training import JobSummary


class HeldView(BaseModel):
    """Resources that admitted jobs hold together."""

    jobs: int
    cpus: Figure
    memory: Annotated[int, Field(description="Bytes.")]
    gpus: Figure


class HolderView(BaseModel):
    """An admitted job with what it holds."""

    job_id: Annotated[str | None, Field(description="null for a job of another workspace.")]
    owner: Annotated[str | None, Field(description="null for a job of another workspace.")]
    model_name: str | None
    phase: Annotated[str, Field(description="environment, starting, script or registration.")]
    node: Annotated[str | None, Field(description="Name of its script's node; null until it starts.")]
    cpus: Annotated[Figure, Field(description="Of its script and its workers, as the other amounts.")]
    memory: Annotated[int, Field(description="Bytes.")]
    gpus: Figure
    since: Annotated[datetime, Field(description="Start of its phase.")]
    ends_by: Annotated[datetime | None, Field(description="End of its time limit; null until its script starts.")]


class ReplicaHolderView(BaseModel):
    """A deployment with the resources of its replicas. Jobs cannot take them."""

    model_name: str
    model_version: str
    replicas: int
    cpus: Annotated[Figure, Field(description="Of all its replicas.")]
    memory: Annotated[int | None, Field(description="Bytes of all its replicas; null: not limited.")]
    gpus: Annotated[Figure, Field(description="Of all its replicas.")] = 0.0


class ReservationView(BaseModel):
    """A node that takes no job until a large waiting one fits there."""

    node: Annotated[str, Field(description="Name of the node.")]
    node_id: str
    job_id: Annotated[str | None, Field(description="The waiting job; null for one of another workspace.")]
    owner: Annotated[str | None, Field(description="null for a job of another workspace.")]
    model_name: str | None


class NodeView(BaseModel):
    """A live node of the cluster."""

    node_id: str
    name: str
    is_head: bool
    cpus: Annotated[Figure, Field(description="For jobs.")]
    memory: Annotated[int, Field(description="Bytes for jobs.")]
    gpus: Figure
    reserved_cpus: Annotated[Figure, Field(description="CPUs that jobs never get, so that replicas can start.")]
    held: Annotated[HeldView, Field(description="By jobs whose scripts run here.")]


class ClusterView(BaseModel):
    """Nodes, and what is held by whom."""

    nodes: Annotated[list[NodeView], Field(description="The largest first.")]
    holders: Annotated[list[HolderView], Field(description="Admitted jobs, oldest first.")]
    replicas: list[ReplicaHolderView]
    queued: Annotated[int, Field(description="Number of waiting jobs, of all workspaces.")]
    reservation: Annotated[ReservationView | None, Field(description="The node that is set aside, if one is.")] = None


class QuotaView(BaseModel):
    """Quota of an owner. null: unbounded."""

    max_running_jobs: int | None
    max_queued_jobs: int | None
    max_cpus: Figure | None
    max_memory: Annotated[int | None, Field(description="Bytes.")]


class OwnerView(BaseModel):
    """An owner with admitted or waiting jobs, or with a quota of its own."""

    owner: Annotated[str, Field(description="Of another workspace than the default one: WORKSPACE/OWNER.")]
    held: HeldView
    queued: int
    quota: QuotaView


class QueueView(BaseModel):
    """Waiting jobs with their places, what they wait for, and who holds it."""

    total: Annotated[int, Field(description="Number of waiting jobs, of all workspaces.")]
    waiting: Annotated[
        list[JobSummary], Field(description="The first ones by priority and age; message says what each waits for.")
    ]
    holders: Annotated[list[HolderView], Field(description="Admitted jobs, oldest first.")]
    owners: list[OwnerView]
    reservation: Annotated[ReservationView | None, Field(description="The node that is set aside, if one is.")] = None
