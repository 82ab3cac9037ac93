"""Machines that Ray's autoscaler can add: from the configuration of `raylift up`, else from that of Ray's cluster launcher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import LocalConfig
from raylift.run_settings import NodeTypeSettings


def node_types(config: LocalConfig) -> tuple[NodeTypeSettings, ...]:
    """Return ``resources.node_types``; without them those of ``resources.autoscaling_config``, if there is one.

    Raises:
        LauncherError: the file cannot be read, or is no configuration of Ray's cluster launcher.
    """
    resources = config.resources
    if resources.node_types is not None:
        return tuple(
            NodeTypeSettings(name=kind.name, cpus=kind.cpus, memory_bytes=kind.memory, gpus=kind.gpus, max_nodes=kind.max_nodes)
            for kind in resources.node_types
        )
    return () if resources.autoscaling_config is None else _of_ray(resources.autoscaling_config)


def _of_ray(file: Path) -> tuple[NodeTypeSettings, ...]:
    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        kinds: Mapping[str, Any] = found.get("available_node_types") or {}
        most = int(found.get("max_workers", 2))
        return tuple(
            _node_type(name, cast("Mapping[str, Any]", kind), most)
            for name, kind in kinds.items()
            if name != found.get("head_node_type")
        )
    except OSError as error:
        raise LauncherError(f"{file} (resources.autoscaling_config) cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ValueError, ValidationError) as error:
        raise LauncherError(
            f"{file} (resources.autoscaling_config) is no configuration of Ray's cluster launcher: {error}"
        ) from error


def _node_type(name: str, kind: Mapping[str, Any], most: int) -> NodeTypeSettings:
    amounts: Mapping[str, Any] = kind.get("resources") or {}
    return NodeTypeSettings(
        name=name,
        cpus=float(amounts.get("CPU", 0)),
        memory_bytes=int(amounts.get("memory", 0)),
        gpus=float(amounts.get("GPU", 0)),
        # Ray starts no more than this of all kinds together.
        max_nodes=min(int(kind.get("max_workers", most)), most),
    )
