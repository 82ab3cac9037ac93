from __future__ import annotations

from typing import Any

import pytest

from raylift.api.ray_jobs import JobSubmitRequest
from raylift.domain.errors import InvalidRequest
from raylift.domain.job import Isolation, Network, Resources
from raylift.services.ray_api.jobs import RaySubmission
from serve_apps.gateway.uploads.ray_requests import ray_submission


def translated(entrypoint: str = "python jobs/train.py --n 1", **fields: Any) -> RaySubmission:
    request = JobSubmitRequest.model_validate({"entrypoint": entrypoint, **fields})
    return ray_submission(request, default_timeout_seconds=3600)


def refused(**fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        translated(**fields)
    return caught.value.detail


def test_request_with_a_script_becomes_an_upload() -> None:
    asked = translated(
        runtime_env={"working_dir": "gcs://_ray_pkg_1.zip", "uv": ["tinydb"], "env_vars": {"A": "1"}, "excludes": ["x"]},
        entrypoint_num_cpus=2,
        entrypoint_memory=2**30,
        entrypoint_num_gpus=0.5,
    )
    upload = asked.upload
    assert upload.command is None
    assert (upload.entrypoint, upload.args, upload.experiment_name) == ("jobs/train.py", ("--n", "1"), "train")
    assert (upload.requirements, upload.environment) == (("tinydb",), {"A": "1"})
    assert upload.resources == Resources(2.0, 2**30, 0.5)
    assert asked.request.runtime_env == {"working_dir": "gcs://_ray_pkg_1.zip", "uv": ["tinydb"], "excludes": ["x"]}


def test_metadata_set_the_fields_of_an_upload() -> None:
    metadata = {
        "raylift.experiment_name": "trees",
        "raylift.model_name": "oak",
        "raylift.timeout_seconds": "90",
        "raylift.priority": "7",
        "raylift.max_retries": "2",
        "raylift.deploy": "false",
        "raylift.autolog": "false",
        "raylift.tag.team": "blue",
        "own": "kept",
    }
    upload = translated(metadata=metadata).upload
    assert (upload.experiment_name, upload.model_name, upload.timeout_seconds) == ("trees", "oak", 90)
    assert (upload.priority, upload.max_retries, upload.deploy, upload.autolog) == (7, 2, False, False)
    assert upload.tags == {"team": "blue"}


def test_omitted_fields_have_defaults() -> None:
    upload = translated().upload
    assert (upload.timeout_seconds, upload.resources.cpus, upload.model_name) == (3600, 1.0, None)
    assert translated(entrypoint_num_cpus=0, entrypoint_memory=0).upload.resources == upload.resources
    assert translated(metadata={"raylift.model_name": "oak"}).upload.experiment_name == "oak"
    command = translated("bash run.sh").upload
    assert (command.command, command.experiment_name) == ("bash run.sh", "Default")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runtime_env": {"conda": "env"}}, ["runtime_env.conda", "pip requirements"]),
        ({"runtime_env": {"image_uri": "img"}}, ["runtime_env.image_uri", "is not taken"]),
        ({"runtime_env": {"container": {"image": "i"}}}, ["runtime_env.container"]),
        ({"runtime_env": {"pip": ["a"], "uv": ["b"]}}, ["not both"]),
        ({"runtime_env": {"env_vars": {"A": 1}}}, ["runtime_env.env_vars", "strings"]),
        ({"entrypoint_resources": {"tpu": 1.0}}, ["entrypoint_resources"]),
        ({"entrypoint_label_selector": {"zone": "a"}}, ["entrypoint_label_selector"]),
        ({"metadata": {"raylift.experiment": "x"}}, ["metadata.raylift.experiment ", "raylift.experiment_name?"]),
        ({"metadata": {"raylift.priority": "high"}}, ["metadata.raylift.priority", "integer"]),
        ({"metadata": {"raylift.model_name": "a/b"}}, ["metadata.raylift.model_name", "cannot be a model's name"]),
        ({"entrypoint_num_cpus": 0.01}, ["entrypoint_num_cpus", "greater than or equal to 0.1"]),
    ],
)
def test_unsupported_options_are_named_as_in_ray(fields: dict[str, Any], words: list[str]) -> None:
    detail = refused(**fields)
    for word in words:
        assert word in detail


def test_each_error_has_a_line() -> None:
    detail = refused(runtime_env={"image_uri": "i"}, metadata={"raylift.x": "1"}, entrypoint_resources={"a": 1.0})
    assert len(detail.splitlines()) == 3


def test_scripts_of_rays_clients_use_the_cluster_by_default() -> None:
    assert translated().upload.isolation is Isolation.CLUSTER
    asked = translated(metadata={"raylift.isolation": "sandbox", "raylift.network": "mlflow-only"}).upload
    assert (asked.isolation, asked.network) == (Isolation.SANDBOX, Network.MLFLOW_ONLY)
    assert "metadata.raylift.isolation" in refused(metadata={"raylift.isolation": "jail"})
