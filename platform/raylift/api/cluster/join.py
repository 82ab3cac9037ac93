"""Schemas of ``/mlops/nodes``: the nodes, and the document by which another machine joins."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure

_HASH_CHARACTERS = 16


class NodeStateView(BaseModel):
    """A live node of Ray's cluster."""

    node_id: str
    name: str
    address: str
    state: Annotated[
        Literal["ready", "draining", "not_prepared"],
        Field(description="draining: it takes no new work and leaves. not_prepared: it did not join by `raylift join`."),
    ]
    is_head: bool
    cpus: Annotated[Figure, Field(description="For jobs.")]
    memory: Annotated[int, Field(description="Bytes for jobs.")]
    gpus: Figure
    jobs: Annotated[int, Field(description="Running scripts.")]


class NodeList(BaseModel):
    """All live nodes."""

    accepts_nodes: Annotated[bool, Field(description="False: the platform was started for one machine.")]
    nodes: list[NodeStateView]


class NodeVersions(BaseModel):
    """Versions that a machine has to have to join."""

    python: str
    ray: str
    raylift: str
    packages: Annotated[dict[str, str], Field(description="Packages of the base environment: environments build on them.")]


class NodeDocument(BaseModel):
    """All that a machine needs to join. It holds Ray's token, so it is given for the join token only."""

    model_config = ConfigDict(frozen=True)

    instance: Annotated[str, Field(description="Mark of every process of this start.")]
    ray_address: Annotated[str, Field(description="Host and port of Ray's GCS.")]
    state_dir: Annotated[str, Field(description="Directory of environments and models; the same path on every node.")]
    session_dir: Annotated[str, Field(description="Directory of sockets and Ray's logs; the same path on every node.")]
    environment: Annotated[dict[str, str], Field(description="Variables of `ray start`.")]
    inherit: Annotated[list[str], Field(description="Patterns of the machine's own variables that Ray gets, too.")]
    ports: dict[str, int]
    object_store_memory: int
    url: Annotated[str, Field(description="The platform's own address, to which some pages lead.")]
    ingress: Annotated[dict[str, Any], Field(description="Rules and secrets of the node's ingress.", repr=False)]
    versions: NodeVersions
    ray_token: Annotated[str, Field(description="Token of Ray's ports.", repr=False)] = ""

    @property
    def hash(self) -> str:
        """Hash of all but what changes while nodes run, the token and the certificate: the label of nodes started by it."""
        # Agents bring a renewed certificate to nodes, which therefore stay prepared when the head starts again.
        tls = self.ingress.get("tls")
        ingress = {**self.ingress, "tls": {**tls, "pem": ""}} if tls else self.ingress
        text = self.model_copy(update={"ray_token": "", "ingress": ingress}).model_dump_json()
        return hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARACTERS]
