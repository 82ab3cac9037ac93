from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from raylift.domain.identifiers import TAG_JOB_ID, TAG_REQUIREMENTS
from raylift.domain.job import Job, JobState
from raylift.domain.model_version import ModelVersion
from raylift.supervisor.registration import choose_version, lineage_tags, twins_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Make = Callable[..., Job]


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
