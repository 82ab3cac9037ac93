"""The node document of a start: all that another machine needs to join."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import ray

import raylift
from raylift.api.cluster.join import NodeDocument, NodeVersions
from raylift.domain.nodes.labels import NODE_ADDRESS_VARIABLE
from raylift.engines.environments.base import base_distributions
from raylift.ingress.spec import IngressSpec
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.private_files import write_private
from raylift.launcher.run.record import RunRecord

_OF_THE_HEAD: Final = frozenset({"RAY_AUTH_TOKEN_PATH", NODE_ADDRESS_VARIABLE})
"""Variables that each node sets by itself."""
_NOT_COMPARED: Final = frozenset({"pip", "setuptools", "wheel"})
"""Packages that only install others."""


def document_file(record: RunRecord) -> Path:
    return record.session_dir / "node-document.json"


def node_document(
    config: LocalConfig, record: RunRecord, base: Mapping[str, str], head_environment: Mapping[str, str], ingress: IngressSpec
) -> NodeDocument:
    """Make the document from the head's variables, but for those of its user (``base``)."""
    own = {name: value for name, value in head_environment.items() if name not in base or name in config.environment.set}
    return NodeDocument(
        instance=record.instance,
        ray_address=record.ray_address,
        state_dir=str(record.state_dir),
        session_dir=str(record.session_dir),
        environment={name: value for name, value in sorted(own.items()) if name not in _OF_THE_HEAD},
        inherit=list(config.environment.inherit),
        ports=record.ports,
        object_store_memory=config.resources.object_store_memory,
        url=record.url,
        ingress=ingress.as_json(),
        versions=versions_here(),
    )


def write_document(path: Path, document: NodeDocument) -> None:
    """Write it for the gateway."""
    write_private(path, document.model_dump_json())


def versions_here() -> NodeVersions:
    """Return the versions of this machine."""
    packages = {name: dist.version for name, dist in base_distributions().items() if name not in _NOT_COMPARED}
    return NodeVersions(
        python=platform.python_version(),
        ray=ray.__version__,
        raylift=raylift.__version__,
        packages=dict(sorted(packages.items())),
    )
