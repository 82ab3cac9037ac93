from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray._private.runtime_env.context import RuntimeEnvContext

from raylift.engines.environments import PLUGINS_VALUE, runtime_env_for
from raylift.engines.environments import plugin as plugin_module
from raylift.engines.environments.overlays.overlay import environment_hash, overlay_directory
from raylift.engines.environments.plugin import EnvironmentPlugin
from raylift.engines.environments.runtime_env import PLUGIN_NAME

_LOG = logging.getLogger(__name__)


def test_empty_lock_gives_no_field() -> None:
    assert runtime_env_for((), "/envs") == {}


def test_equal_locks_are_one_environment() -> None:
    assert runtime_env_for(["b==1", "a==1", "b==1"], Path("/envs")) == {
        PLUGIN_NAME: {"lock": ["a==1", "b==1"], "root": "/envs"}
    }
    assert environment_hash(["b==1", "a==1"]) == environment_hash(("a==1", "b==1", "b==1")) != environment_hash(["a==1"])


def test_ray_gets_the_class_of_the_plugin() -> None:
    module, _, name = json.loads(PLUGINS_VALUE)[0]["class"].rpartition(".")
    assert getattr(sys.modules[module], name) is EnvironmentPlugin


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        "a==1",
        {},
        {"lock": [], "root": "/e"},
        {"lock": [1], "root": "/e"},
        {"lock": ["a==1"], "root": "e"},
        {"lock": ["a==1"]},
    ],
)
def test_malformed_config_is_refused(config: Any) -> None:
    with pytest.raises(ValueError, match=PLUGIN_NAME):
        EnvironmentPlugin.validate({PLUGIN_NAME: config})


def test_worker_starts_in_the_overlay(tmp_path: Path) -> None:
    lock = ["a==1"]
    context = RuntimeEnvContext(env_vars={"A": "1"})
    EnvironmentPlugin().modify_context([], runtime_env_for(lock, tmp_path), context, _LOG)
    directory = overlay_directory(lock, tmp_path)
    assert context.py_executable == f"{directory}/bin/python"
    assert context.env_vars == {"A": "1", "VIRTUAL_ENV": str(directory), "PATH": f"{directory}/bin:{os.environ['PATH']}"}


def test_path_of_the_user_follows_the_overlay(tmp_path: Path) -> None:
    context = RuntimeEnvContext(env_vars={"PATH": "/mine"})
    EnvironmentPlugin().modify_context([], runtime_env_for(["a==1"], tmp_path), context, _LOG)
    assert context.env_vars["PATH"].endswith("/bin:/mine")


async def test_overlay_is_requested_each_time_and_not_deleted(monkeypatch, tmp_path: Path) -> None:
    asked: list[tuple[list[str], Path]] = []
    monkeypatch.setattr(plugin_module, "ensure_overlay", lambda lock, root, *, expected: asked.append((lock, root)))
    plugin, runtime_env = EnvironmentPlugin(), runtime_env_for(["a==1"], tmp_path)
    assert plugin.get_uris(runtime_env) == []
    assert await plugin.create(None, runtime_env, RuntimeEnvContext(), _LOG) == 0
    assert await plugin.create(None, runtime_env, RuntimeEnvContext(), _LOG) == 0
    assert asked == [(["a==1"], tmp_path)] * 2
    assert plugin.delete_uri("any", _LOG) == 0


def test_plugin_loads_few_modules_in_the_agent() -> None:
    package = "raylift.engines.environments"
    script = f"import sys, {package}.overlays.overlay, {package}.locking.resolve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"ray", "mlflow", "sqlalchemy", "fastapi", "numpy", "httpx", "pydantic"}.isdisjoint(done.stdout.split())


def test_sandboxed_job_starts_in_the_base_and_gets_its_overlay_by_name(tmp_path: Path) -> None:
    runtime_env = runtime_env_for(["a==1"], tmp_path, starts_workers=False)
    context = RuntimeEnvContext()
    before = context.py_executable
    EnvironmentPlugin().modify_context([], runtime_env, context, _LOG)
    assert context.py_executable == before
    assert context.env_vars == {"RAYLIFT_OVERLAY": str(overlay_directory(["a==1"], tmp_path))}
