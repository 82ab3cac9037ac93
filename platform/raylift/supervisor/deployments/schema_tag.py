"""Writes on a model version where its schema comes from, as its replica found it out when it loaded the model."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from raylift.domain.errors import VersionNotFound
from raylift.domain.identifiers import TAG_SCHEMA
from raylift.engines.gateway_client import GatewayClient
from raylift.engines.mlflow.registry import Registry

log = logging.getLogger(__name__)

_SECONDS: Final = 5.0
"""A replica that is ready describes itself at once."""
_TAG_LIMIT: Final = 5000
"""Characters that MLflow keeps of a tag's value."""


class SchemaTag:
    """Tags versions with ``raylift.schema``. May be repeated."""

    def __init__(self, gateway_client: GatewayClient, registry: Registry) -> None:
        self._gateway = gateway_client
        self._registry = registry

    def ask_and_write(self, model_name: str, version: str) -> None:
        """Ask a version that is ready for its metadata, and write the tag.

        Raises:
            EngineUnavailable: the gateway or MLflow did not answer.
        """
        metadata = self._gateway.metadata(model_name, version, seconds=_SECONDS)
        if metadata is None:
            log.warning("%s version %s does not describe itself: it gets no tag %s", model_name, version, TAG_SCHEMA)
        else:
            self.write(model_name, version, metadata)

    def write(self, model_name: str, version: str, metadata: Mapping[str, Any]) -> None:
        """Write what a version's metadata says of its schema.

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
