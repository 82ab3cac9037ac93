"""cluster_configs/ray-up-*.yaml: Ray's launcher takes them, and their commands are ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from raylift.cli.app import app
from raylift.launcher.parts.ray_head import head_command
from raylift.launcher.run.config import load_config
from raylift.launcher.run.record import RunRecord

FOLDER = Path(__file__).resolve().parents[3] / "cluster_configs"
FILES = sorted(FOLDER.glob("ray-up-*.yaml"))
LINES = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


def commands(cluster: dict[str, Any]) -> list[list[str]]:
    """Arguments of every `raylift` in the commands."""
    lines = "\n".join(line for name in LINES for line in cluster[name])
    return [shlex.split(found) for found in re.findall(r"bin/raylift ([^|\n]*)", lines)]


def test_ray_takes_the_file(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(cluster))
    with pytest.raises(ValidationError):
        validate_config(prepare_config({**cluster, "worker_start_commands": []}))


def test_every_command_exists_with_its_options(cluster: dict[str, Any]) -> None:
    given = commands(cluster)
    assert {"up", "join"} <= {name for name, *_ in given}
    root: Any = typer.main.get_command(app)
    for name, *arguments in given:
        # Files of the head do not exist here.
        known = [argument for argument in arguments if not argument.startswith("~")]
        known = [argument for argument in known if argument != "--config"]
        token = ["--token", "t"] if name == "join" else []
        root.commands[name].make_context(name, [*known, *token])


def test_head_starts_ray_s_autoscaler(cluster: dict[str, Any], tmp_path: Path) -> None:
    (written,) = (line for line in cluster["head_start_ray_commands"] if line.startswith("printf"))
    settings = tmp_path / "raylift.yaml"
    settings.write_text(shlex.split(written)[1].replace("\\n", "\n"), encoding="utf-8")
    config = load_config(settings)
    ports = {"gateway": 8000, "ray_dashboard": 8265, "mlflow": 5000, "block": 20000}
    record = RunRecord.model_validate(
        {"instance": "a", "started_at": 0, "host": "10.0.0.5", "ports": ports, "state_dir": tmp_path, "session_dir": tmp_path}
    )
    option = f"--autoscaling-config {Path.home()}/ray_bootstrap_config.yaml"
    assert option in shlex.join(head_command(config, record, {}))
    assert "--autoscaling-config" not in shlex.join(head_command(load_config(), record, {}))


def test_all_workers_stay(cluster: dict[str, Any]) -> None:
    assert cluster["max_workers"] == len(cluster["provider"]["worker_ips"])
    (kind,) = prepare_config(cluster)["available_node_types"].values()
    assert kind["min_workers"] == len(cluster["provider"]["worker_ips"])
