from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.api.paths import version_route
from raylift.domain.identifiers import (
    MODEL_NAME,
    application_name,
    new_job_id,
    submission_id,
    version_of_application,
)

ULID_SECONDS = 2**48 / 1000 - 1


def test_job_ids_are_unique_and_well_formed() -> None:
    ids = {new_job_id(1_770_000_000.0) for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(re.fullmatch(r"job_[0-9A-HJKMNP-TV-Z]{26}", job_id) for job_id in ids)


@given(st.floats(0, ULID_SECONDS), st.floats(0, ULID_SECONDS))
def test_job_ids_sort_by_time(one: float, other: float) -> None:
    first, second = sorted((one, other))
    if int(first * 1000) < int(second * 1000):
        assert new_job_id(first) < new_job_id(second)


def test_new_job_id_has_the_current_time() -> None:
    assert new_job_id(0) < new_job_id() < new_job_id(ULID_SECONDS)


def test_submission_ids_and_names_are_derived() -> None:
    assert submission_id("job_1", 2) == "job_1-a2"
    assert version_route("churn", "3") == "/v2/models/churn/versions/3"


@given(st.from_regex(MODEL_NAME, fullmatch=True), st.integers(1, 10**6).map(str))
def test_application_name_gives_its_version(model_name: str, version: str) -> None:
    assert version_of_application(application_name(model_name, version)) == (model_name, version)


@pytest.mark.parametrize("name", ["gateway", "churn:", "churn:latest", "churn:-1", ""])
def test_other_application_names_give_no_version(name: str) -> None:
    assert version_of_application(name) is None


@pytest.mark.parametrize("name", ["a", "churn", "a.b-c_d", "0", "x" * 128])
def test_valid_model_names_are_accepted(name: str) -> None:
    assert MODEL_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", ".a", "a/b", "a:b", "a b", "ä", "x" * 129, "a\n"])
def test_invalid_model_names_are_refused(name: str) -> None:
    assert not MODEL_NAME.fullmatch(name)
