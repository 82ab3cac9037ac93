"""Environment variables of a job that its replicas get."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raylift.domain.job import JobSpec, SweepPart
from raylift.services.models.replica_environment import job_variables


def spec(environment: dict[str, str], params: dict[str, str] | None = None) -> JobSpec:
    return JobSpec("0" * 64, "train.py", "exp", environment=environment, params=params or {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERAS_BACKEND", "torch"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TF_USE_LEGACY_KERAS", "1"),
        ("DATA_PATH", "/data"),
        ("MLFLOW_S3_ENDPOINT_URL", "https://s3.example.org"),
        ("MONKEYS", "3"),
    ],
)
def test_variable_of_the_model_is_passed_on(name: str, value: str) -> None:
    assert job_variables(spec({name: value})) == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_TOKEN", "x"),
        ("HF_TOKEN", "x"),
        ("GITHUBTOKEN", "x"),
        ("OPENAI_API_KEY", "x"),
        ("OPENAIKEY", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("db_password", "x"),
        ("PGPASSWORD", "x"),
        ("GITHUB_PAT", "x"),
        ("GOOGLE_CREDENTIALS", "x"),
        ("AZURE_STORAGE_CONNECTION_STRING", "x"),
        ("SENTRY_DSN", "x"),
        ("DATABASE_URL", "postgresql://me:word@host/db"),
        ("HEADER", "Bearer abc"),
        ("CERTIFICATE", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_secret_is_not_passed_on(name: str, value: str) -> None:
    assert job_variables(spec({name: value})) == {}


def test_parameters_are_passed_on() -> None:
    assert job_variables(spec({"TOKENS": "5"}, {"TOKENS": "5"})) == {"TOKENS": "5"}
    swept = replace(spec({"TOKENS": "5"}), sweep=SweepPart("sweep_1", {"TOKENS": "5"}))
    assert job_variables(swept) == {"TOKENS": "5"}


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "HOME", "RAY_ADDRESS", "PYTHONPATH"])
def test_variables_of_the_machine_or_platform_are_not_passed_on(name: str) -> None:
    assert job_variables(spec({name: "8"})) == {}
