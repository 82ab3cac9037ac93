from __future__ import annotations

import json
from pathlib import Path

import pytest

from raylift.engines.environments import RAY_UV, runtime_env_for
from raylift.engines.environments.runtime_env import READY
from serve_apps.model_server.ray.environment_check import require_environment

LOCK = ("rich==14.0.0", "humanize==4.9.0")


def test_replica_in_its_overlay_or_without_a_lock_starts(tmp_path: Path) -> None:
    (tmp_path / READY).write_text(json.dumps({"lock": LOCK}))
    require_environment(runtime_env_for(LOCK, tmp_path), "n1", str(tmp_path))
    require_environment({"env_vars": {}}, "n1", "/base")
    require_environment(runtime_env_for(LOCK, tmp_path, mechanism=RAY_UV), "n1", "/base")


@pytest.mark.parametrize("held", [None, ["humanize==4.9.0"]])
def test_replica_elsewhere_names_the_node_and_what_to_do(tmp_path: Path, held: list[str] | None) -> None:
    if held is not None:
        (tmp_path / READY).write_text(json.dumps({"lock": held}))
    with pytest.raises(RuntimeError, match=r"node n1 .*rich==14.0.0.*RAY_RUNTIME_ENV_PLUGINS.*ray_uv"):
        require_environment(runtime_env_for(LOCK, tmp_path), "n1", str(tmp_path))
