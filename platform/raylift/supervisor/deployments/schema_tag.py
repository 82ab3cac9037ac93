"""Tags a model version with the source of its schema, as its replica reports it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from raylift.domain.errors import VersionNotFound
from raylift.domain.identifiers import TAG_SCHEMA
from raylift.engines.gateway_client import GatewayClient
from raylift.engines.mlflow_engine.registry import Registry

log = logging.getLogger(__name__)

_SECONDS: Final = 5.0
"""Time-out: a ready replica answers at once."""
_TAG_LIMIT: Final = 5000
"""MLflow's limit for a tag's value, in characters."""


class SchemaTag:
    """Sets ``raylift.schema``. May be repeated."""

    def __init__(self, gateway_client: GatewayClient, registry: Registry) -> None:
        self._gateway = gateway_client
        self._registry = registry

    def ask_and_write(self, model_name: str, version: str) -> None:
        """Read the metadata of a ready version, and write the tag.

        Raises:
            EngineUnavailable: the gateway or MLflow did not answer.
        """
        metadata = self._gateway.metadata(model_name, version, seconds=_SECONDS)
        if metadata is None:
            log.warning("%s version %s returns no metadata: it gets no tag %s", model_name, version, TAG_SCHEMA)
        else:
            self.write(model_name, version, metadata)

    def write(self, model_name: str, version: str, metadata: Mapping[str, Any]) -> None:
        """Write the schema's source from a version's metadata.

        Raises:
            EngineUnavailable: MLflow did not answer.
        """
        schema = metadata.get("parameters", {}).get("schema")
        if schema is None:
            return
        text = json.dumps(schema)
        if len(text) > _TAG_LIMIT:
            text = json.dumps({**schema, "disagreements": [f"{len(schema['disagreements'])}, named in the replica's log"]})
        try:
            self._registry.tag_version(self._registry.version(model_name, version), {TAG_SCHEMA: text})
        except VersionNotFound:
            log.info("%s version %s was deleted while it was loaded", model_name, version)
