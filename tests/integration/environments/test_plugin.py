"""The plugin on a real Ray cluster of its own: jobs, actors and Serve replicas in overlays.

Each night. Every change trains and serves in overlays on the platform of `tests/e2e`, and builds them in `test_overlay.py`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from raylift.engines.environments import RAY_UV, build_failure_in, runtime_env_for
from raylift.engines.environments.errors import EnvironmentInUse
from raylift.engines.environments.inventory import remove_overlay
from raylift.engines.environments.overlays.overlay import ensure_overlay, environment_hash, overlay_directory

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly]

_LOCK = ("humanize==4.9.0",)
_SAY = """python -c "import sys, humanize, job_entrypoints, raylift; print(sys.executable, humanize.__version__)" """


@pytest.fixture(scope="module")
def root(cluster) -> Path:
    return cluster.folder / "environments"


def test_job_runs_in_its_overlay(cluster, root: Path) -> None:
    job, output = cluster.run(_SAY, runtime_env_for(_LOCK, root))
    assert job["status"] == "SUCCEEDED", job["message"]
    assert f"{overlay_directory(_LOCK, root) / 'bin' / 'python'} 4.9.0" in output


def test_second_job_uses_the_built_overlay(cluster, root: Path) -> None:
    cluster.run(_SAY, runtime_env_for(_LOCK, root))
    ready = overlay_directory(_LOCK, root) / ".ok"
    built = ready.stat().st_ino, ready.stat().st_mtime_ns
    job, _ = cluster.run(_SAY, runtime_env_for(_LOCK, root))
    assert job["status"] == "SUCCEEDED", job["message"]
    assert (ready.stat().st_ino, ready.stat().st_mtime_ns) == built


def test_removed_overlay_is_built_again(cluster, root: Path) -> None:
    cluster.run(_SAY, runtime_env_for(_LOCK, root))
    _remove_once_unused(root, environment_hash(_LOCK))
    job, _ = cluster.run(_SAY, runtime_env_for(_LOCK, root))
    assert job["status"] == "SUCCEEDED", job["message"]


def _remove_once_unused(root: Path, name: str) -> None:
    # The job's worker ends a little later than the job.
    deadline = time.monotonic() + 180
    while True:
        try:
            assert remove_overlay(root, name)
        except EnvironmentInUse:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_build_removes_unused_overlays_only(cluster) -> None:
    root = cluster.folder / "small"
    idle = ensure_overlay(["humanize==4.10.0"], root)
    out = cluster.drive(f"""
import json, os, ray, time
ray.init(address="auto", log_to_driver=False)

@ray.remote(num_cpus=0)
class Actor:
    def say(self):
        import humanize
        return humanize.__version__

def start(version):
    runtime_env = {{"raylift_environment": {{"lock": ["humanize==" + version], "root": {str(root)!r}, "max_bytes": 1}}}}
    actor = Actor.options(runtime_env=runtime_env).remote()
    assert ray.get(actor.say.remote(), timeout=60) == version
    return actor

actors = [start("4.9.0"), start("4.11.0")]
deadline = time.monotonic() + 120
# The path is put together here: a driver that names an overlay on its command line counts as one that uses it.
while os.path.exists(os.path.join({str(root)!r}, {idle.parent.parent.name!r})) and time.monotonic() < deadline:
    time.sleep(0.1)
print(json.dumps(sorted(name for name in os.listdir({str(root)!r}) if not name.startswith("."))))
""")
    both = [environment_hash([f"humanize=={version}"]) for version in ("4.9.0", "4.11.0")]
    assert json.loads(out.splitlines()[-1]) == sorted(both)
    # The driver has ended, and its actors with it.
    for name in both:
        _remove_once_unused(root, name)


def test_job_without_a_lock_runs_in_the_base(cluster, root: Path) -> None:
    job, output = cluster.run('python -c "import sys; print(sys.prefix)"', runtime_env_for((), root))
    assert job["status"] == "SUCCEEDED", job["message"]
    assert str(root) not in output


def test_broken_lock_fails_with_our_message_and_is_not_cached(cluster, root: Path, make_wheel) -> None:
    wheel = root.parent / "wheels" / "raylift_probe-1.0-py3-none-any.whl"
    lock = (f"raylift-probe @ {wheel.as_uri()}",)
    same = {"env_vars": {"TEST_JOB": "the same each time"}} | runtime_env_for(lock, root)
    job, _ = cluster.run("true", same)
    assert job["status"] == "FAILED"
    assert job["error_type"] == "RUNTIME_ENV_SETUP_FAILURE"
    message = build_failure_in(job["message"])
    assert message is not None, job["message"]
    assert message.startswith(f"The environment of {lock[0]} could not be built: ")
    assert not overlay_directory(lock, root).exists()

    make_wheel("raylift-probe", "1.0", folder=wheel.parent)
    # An attempt with another variable is built anew at once.
    job, _ = cluster.run("python -c 'import raylift_probe'", runtime_env_for(lock, root))
    assert job["status"] == "SUCCEEDED", job["message"]
    # Ray caches the failure of an equal text for BAD_RUNTIME_ENV_CACHE_TTL_SECONDS after its last request.
    ended = _run_until_success(cluster, same)
    assert ended["status"] == "SUCCEEDED", ended["message"]


def _run_until_success(cluster, runtime_env: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while True:
        job, _ = cluster.run("true", runtime_env)
        if job["status"] == "SUCCEEDED" or time.monotonic() > deadline:
            return job
        time.sleep(0.5)


def test_actor_runs_in_its_overlay(cluster, root: Path) -> None:
    out = cluster.drive(f"""
import json, ray
ray.init(address="auto", log_to_driver=False)

@ray.remote(num_cpus=0, runtime_env={runtime_env_for(_LOCK, root)!r} | {{"env_vars": {{"PROBE": "x"}}}})
class Actor:
    def say(self):
        import os, sys, shutil, humanize
        return [sys.executable, shutil.which("python"), humanize.__version__, os.environ["VIRTUAL_ENV"], os.environ["PROBE"]]

print(json.dumps(ray.get(Actor.remote().say.remote(), timeout=60)))
""")
    directory = overlay_directory(_LOCK, root)
    python = str(directory / "bin" / "python")
    assert json.loads(out.splitlines()[-1]) == [python, python, "4.9.0", str(directory), "x"]


def test_two_versions_of_a_package_serve_side_by_side(cluster, root: Path) -> None:
    environments = {version: runtime_env_for([f"humanize=={version}"], root) for version in ("4.9.0", "4.10.0")}
    out = cluster.drive(f"""
import json, ray
from ray import serve
ray.init(address="auto", log_to_driver=False)
serve.start(proxy_location="Disabled")

@serve.deployment(ray_actor_options={{"num_cpus": 0.1}})
class Model:
    def __call__(self):
        import os, humanize
        return [humanize.__version__, os.environ["PROBE"]]

found = []
for version, runtime_env in {environments!r}.items():
    options = {{"num_cpus": 0.1, "runtime_env": runtime_env | {{"env_vars": {{"PROBE": version}}}}}}
    name = "humanize-" + version
    handle = serve.run(Model.options(ray_actor_options=options).bind(), name=name, route_prefix="/" + name)
    found.append(handle.remote().result(timeout_s=30))
serve.shutdown()
print(json.dumps(found))
""")
    assert json.loads(out.splitlines()[-1]) == [["4.9.0", "4.9.0"], ["4.10.0", "4.10.0"]]


@pytest.mark.timeout(400)
def test_ray_uv_field_replaces_a_missing_plugin(cluster, root: Path) -> None:
    """Slow: Ray copies the whole base."""
    runtime_env = runtime_env_for(("humanize==4.9.0",), root, mechanism=RAY_UV)
    job, output = cluster.run(_SAY, runtime_env, seconds=350)
    assert job["status"] == "SUCCEEDED", job["message"]
    assert "4.9.0" in output
    assert "/runtime_resources/uv/" in output
