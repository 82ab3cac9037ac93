"""Machines that Ray's autoscaler can add, as the configuration tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import load_config
from raylift.launcher.run.node_types import node_types
from raylift.run_settings import NodeTypeSettings

RAY = """
max_workers: 3
head_node_type: head
available_node_types:
  head: {resources: {CPU: 4}, node_config: {}}
  gpu: {resources: {CPU: 8, GPU: 1, memory: 34359738368}, max_workers: 2, node_config: {}}
  any: {resources: {CPU: 2, memory: 1073741824}, node_config: {}}
"""


def test_kinds_are_those_of_ray_s_launcher(tmp_path: Path) -> None:
    file = tmp_path / "ray.yaml"
    file.write_text(RAY)
    config = load_config(overrides={"resources": {"autoscaling_config": str(file)}})
    assert node_types(config) == (
        NodeTypeSettings(name="gpu", cpus=8.0, memory_bytes=32 * 2**30, gpus=1.0, max_nodes=2),
        NodeTypeSettings(name="any", cpus=2.0, memory_bytes=2**30, max_nodes=3),
    )


def test_own_kinds_replace_them(tmp_path: Path) -> None:
    own = [{"name": "big", "cpus": 8, "memory": "32GiB", "max_nodes": 2}]
    config = load_config(overrides={"resources": {"autoscaling_config": str(tmp_path / "none"), "node_types": own}})
    assert node_types(config) == (NodeTypeSettings(name="big", cpus=8.0, memory_bytes=32 * 2**30, max_nodes=2),)
    assert node_types(load_config()) == ()


@pytest.mark.parametrize("text", ["- 1", "max_workers: many", "available_node_types: [gpu]", "a: ["])
def test_another_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ray.yaml"
    file.write_text(text)
    with pytest.raises(LauncherError, match="is no configuration of Ray"):
        node_types(load_config(overrides={"resources": {"autoscaling_config": str(file)}}))
