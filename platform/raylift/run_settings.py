"""Settings that the launcher prepares at each start: the ingress, and the files for machines that join."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from raylift.domain.nodes.node_types import NodeType


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IngressSettings(_Section):
    """This machine's HAProxy, as prepared by the launcher."""

    directory: Path
    """Directory of its runtime socket and its map of names."""
    token: str
    """Token that replicas require of requests. Only the ingress knows it."""

    def worked_on_by(self, model_name: str, version: str) -> Path:
        """Directory in which a version's processes record the requests in progress (poison_requests.py)."""
        # Beside HAProxy's directory, which they may not see.
        return self.directory.with_name("worked-on") / quote(f"{model_name}:{version}", safe="")


class ClusterSettings(_Section):
    """Files and label for other machines that join, as prepared by the launcher."""

    label: str
    """Value of the label ``raylift.io/node`` of prepared nodes: the hash of the node document."""
    document_file: Path
    """The node document, without Ray's token (api/cluster/join.py)."""
    join_token_file: Path
    """File of the token that joining machines show."""


class NodeTypeSettings(_Section):
    """A kind of machine that Ray's autoscaler can add."""

    name: str
    cpus: Annotated[float, Field(ge=0)]
    """CPUs of one machine."""
    memory_bytes: Annotated[int, Field(ge=0)]
    """Memory that Ray gets on one machine."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of one machine."""
    max_nodes: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Largest number of such machines at a time."""

    @property
    def node_type(self) -> NodeType:
        return NodeType(self.name, self.cpus, self.memory_bytes, self.gpus, self.max_nodes)
