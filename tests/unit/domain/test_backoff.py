from __future__ import annotations

import pytest

from raylift.domain.backoff import backoff


def test_pause_doubles_up_to_the_longest() -> None:
    assert [backoff(failures, first=0.5, longest=15.0) for failures in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]


@pytest.mark.parametrize("failures", [1025, 100_000])
def test_pause_stays_finite_after_days_of_failures(failures: int) -> None:
    assert backoff(failures, first=0.5, longest=15.0) == 15.0
