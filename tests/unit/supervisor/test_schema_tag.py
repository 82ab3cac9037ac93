"""The tag that names the source of a version's schema."""

from __future__ import annotations

import json
from typing import Any, cast

from raylift.domain.errors import VersionNotFound
from raylift.domain.identifiers import TAG_SCHEMA
from raylift.supervisor.deployments.schema_tag import SchemaTag

SCHEMA = {"source": "training", "disagreements": ["another order"]}


class Registry:
    """A registry of one version that keeps its tags."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.tags: dict[str, str] = {}
        self._is_gone = is_gone

    def version(self, name: str, version: str) -> str:
        if self._is_gone:
            raise VersionNotFound("gone")
        return f"{name}/{version}"

    def tag_version(self, version: str, tags: dict[str, str]) -> None:
        assert version == "churn/3"
        self.tags |= tags


class GatewayClient:
    """A gateway client that returns one body."""

    def __init__(self, metadata: dict[str, Any] | None) -> None:
        self._metadata = metadata

    def metadata(self, model_name: str, version: str, *, seconds: float) -> dict[str, Any] | None:
        return self._metadata


def _tag(registry: Registry, metadata: dict[str, Any] | None) -> None:
    SchemaTag(cast("Any", GatewayClient(metadata)), cast("Any", registry)).ask_and_write("churn", "3")


def test_metadata_of_a_version_becomes_its_tag() -> None:
    registry = Registry()
    _tag(registry, {"parameters": {"schema": SCHEMA}})
    assert json.loads(registry.tags[TAG_SCHEMA]) == SCHEMA


def test_columns_too_many_for_a_tag_are_counted() -> None:
    registry = Registry()
    _tag(registry, {"parameters": {"schema": {"source": "training", "disagreements": ["x" * 100] * 60}}})
    assert json.loads(registry.tags[TAG_SCHEMA])["disagreements"] == ["60, named in the replica's log"]


def test_version_without_metadata_gets_no_tag() -> None:
    registry = Registry()
    _tag(registry, None)
    _tag(registry, {"name": "of another server"})
    assert registry.tags == {}


def test_version_deleted_meanwhile_is_ignored() -> None:
    registry = Registry(is_gone=True)
    _tag(registry, {"parameters": {"schema": SCHEMA}})
    assert registry.tags == {}
