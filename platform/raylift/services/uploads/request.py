"""The request for a job or a sweep, the same for the platform's own form and for Ray's Jobs API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from raylift.domain.identifiers import DEFAULT_OWNER, DEFAULT_WORKSPACE
from raylift.domain.job import Isolation, Network, Resources
from raylift.domain.rollouts.gate import Gate
from raylift.domain.sweep import SweepMode, SweepPassing, SweepRegistration


@dataclass(frozen=True, slots=True)
class RequestedSweep:
    """A job for each combination of the parameters."""

    parameters: Mapping[str, tuple[str, ...]]
    """Values by name, as text, in the order of the request."""
    passed_as: SweepPassing = SweepPassing.ENVIRONMENT
    metric: str | None = None
    mode: SweepMode = SweepMode.MAX
    registration: SweepRegistration = SweepRegistration.ALL
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """Fields of an upload whose types are right. ``UploadChecks`` validates their content."""

    experiment_name: str
    script_content: str = ""
    """Source of a single script. Not read where there is a project or a command."""
    script_encoding: Literal["plain", "base64"] = "plain"
    script_name: str = "train.py"
    project: bytes | None = None
    """Archive of a project: .zip or .tar.gz."""
    entrypoint: str | None = None
    """Path of the script in the project."""
    command: str | None = None
    """Shell command that runs in place of a script, in the project if there is one."""
    model_name: str | None = None
    requirements: tuple[str, ...] = ()
    torch_backend: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the script. Values may be secrets."""
    secrets: tuple[str, ...] = ()
    """Names of secrets whose variables the script gets."""
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    """Datasets by alias: ``name``, or ``name@3`` for a version."""
    after: tuple[str, ...] = ()
    """Jobs that have to complete before it starts."""
    output_dataset: str | None = None
    """Dataset that gets a version of what the script writes to ``RAYLIFT_OUTPUT``."""
    args: tuple[str, ...] = ()
    timeout_seconds: int = 600
    resources: Resources = field(default_factory=Resources)
    max_retries: int = 0
    priority: int = 50
    autolog: bool = True
    deploy: bool = True
    register: str | None = None
    """Name, class or run of the logged model to register."""
    take_traffic: bool = True
    promote: Gate | None = None
    isolation: Isolation = Isolation.SANDBOX
    network: Network | None = None
    """Network of a sandboxed script. None: the platform's setting."""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters as text: environment variables of the script and MLflow params."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    sweep: RequestedSweep | None = None
    owner: str = DEFAULT_OWNER
    workspace: str = DEFAULT_WORKSPACE
