from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raylift.domain.identifiers import TAG_JOB_ID, TAG_REQUIREMENTS
from raylift.domain.job import Job, JobState
from raylift.domain.model_version import LoggedModel, ModelVersion, TrackedRun
from raylift.supervisor.registration import choose_model, choose_run, choose_version, lineage_tags, twins_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Make = Callable[..., Job]


def logged(*names: str) -> list[LoggedModel]:
    return [LoggedModel(f"m-{index}", name, "run", NOW, f"models:/m-{index}") for index, name in enumerate(names)]


def run(run_id: str, parent: str | None = None) -> TrackedRun:
    return TrackedRun(run_id, "1", NOW, parent)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a", "churn", "model", "b"], 1),
        (["a", "model", "b"], 1),
        (["a", "b"], 1),
        (["model", "model"], 1),
        (["churn", "churn", "model"], 1),
    ],
)
def test_the_model_named_like_the_registered_one_else_model_else_the_last(names: list[str], chosen: int) -> None:
    models = logged(*names)
    assert choose_model(models, "churn") == models[chosen]


def test_no_model_is_none() -> None:
    assert choose_model([], "churn") is None


def test_the_run_that_made_the_version_is_the_jobs() -> None:
    runs = [run("a"), run("b"), run("c", parent="a")]
    assert choose_run(runs, "a") == runs[0]
    assert choose_run(runs, None) == runs[1]
    assert choose_run(runs[2:], None) == runs[2]
    assert choose_run([], None) is None


def test_in_a_sweep_all_runs_are_beneath_its_own_and_the_last_of_them_is_the_jobs() -> None:
    runs = [run("a", parent="sweep"), run("b", parent="sweep"), run("c", parent="b")]
    assert choose_run(runs, None) == runs[1]


def test_our_own_version_comes_before_those_the_script_registered(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION)
    theirs = [ModelVersion("churn", version, NOW) for version in ("9", "10")]
    ours = ModelVersion("churn", "8", NOW, tags={TAG_JOB_ID: job.job_id})
    assert choose_version(job, [*theirs, ours]) == ours
    assert choose_version(job, theirs) == theirs[1]
    assert choose_version(job, []) is None


def test_twins_are_what_the_platform_made_twice_of_one_model(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION)
    ours = {TAG_JOB_ID: job.job_id}
    first, twin = (ModelVersion("churn", number, NOW, tags=ours, source="models:/m-1") for number in ("9", "10"))
    others = [
        ModelVersion("churn", "1", NOW, tags={TAG_JOB_ID: "job_other"}, source="models:/m-1"),
        ModelVersion("churn", "2", NOW, tags=ours, source="models:/m-2"),
        ModelVersion("churn", "3", NOW, source="models:/m-1"),
    ]
    assert twins_of(job, twin, [*others, twin, first]) == [first, twin]
    assert twins_of(job, first, others) == []


def test_lineage_is_tagged_and_what_mlflow_would_cut_is_left_out(make_job: Make) -> None:
    job = make_job(JobState.REGISTRATION, environment_lock=("humanize==4.9.0",))
    tags = lineage_tags(job)
    assert tags[TAG_JOB_ID] == job.job_id
    assert "humanize==4.9.0" in tags["raylift.environment_lock"]
    many = replace(job, spec=replace(job.spec, requirements=("x" * 100,) * 100))
    assert TAG_REQUIREMENTS not in lineage_tags(many)
