"""Feedback to predictions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from raylift.domain.errors import InvalidRequest
from raylift.domain.models.feedback import Feedback
from raylift.store import Store
from tests.contract.samples import NOW, after


def told(request_id: str, true_value: Any, at: datetime = NOW, *, version: str = "1") -> Feedback:
    return Feedback("churn", version, request_id, true_value, at)


@pytest.mark.parametrize("value", [1, 0.5, "yes", True, [1, 0], {"a": [None, 2]}, [], "", 0, False])
def test_feedback_is_read_as_it_was_sent(store: Store, value: Any) -> None:
    store.feedback.put([told("r1", value)])
    (found,) = store.feedback.page("churn", "1", limit=10).feedback
    assert found == told("r1", value)
    assert type(found.true_value) is type(value)


def test_last_feedback_of_a_prediction_counts_even_within_a_list(store: Store) -> None:
    store.feedback.put([told("r1", 1), told("r2", 2), told("r1", 3)])
    store.feedback.put([told("r2", 4, after(5))])
    page = store.feedback.page("churn", "1", limit=10)
    assert [(one.request_id, one.true_value, one.received_at) for one in page.feedback] == [("r2", 4, after(5)), ("r1", 3, NOW)]
    assert store.feedback.count("churn", "1") == 2


def test_pages_are_newest_first_and_complete_while_feedback_arrives(store: Store) -> None:
    store.feedback.put([told(f"r{number}", number, after(number // 2)) for number in range(10)])
    first = store.feedback.page("churn", "1", limit=4)
    store.feedback.put([told("later", 99, after(60))])
    seen = [one.request_id for one in first.feedback]
    cursor = first.next_cursor
    while cursor:
        page = store.feedback.page("churn", "1", limit=4, cursor=cursor)
        seen += [one.request_id for one in page.feedback]
        cursor = page.next_cursor
    assert seen == [f"r{number}" for number in range(9, -1, -1)]


def test_malformed_cursor_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="not a cursor"):
        store.feedback.page("churn", "1", limit=4, cursor="x")


def test_versions_have_separate_feedback(store: Store) -> None:
    store.feedback.put([told("r1", 1), told("r1", 2, version="2")])
    assert [one.true_value for one in store.feedback.page("churn", "2", limit=10).feedback] == [2]
    assert store.feedback.count("churn", "3") == 0


def test_old_feedback_is_deleted(store: Store) -> None:
    store.feedback.put([told("old", 1), told("young", 2, after(100))])
    assert not store.feedback.forget_before(after(50))
    assert [one.request_id for one in store.feedback.page("churn", "1", limit=10).feedback] == ["young"]


def test_concurrent_feedback_to_the_same_predictions_is_stored(open_store: Callable[[], Store]) -> None:
    stores = [open_store() for _ in range(4)]

    def tell(number: int) -> None:
        entries = [told(f"r{index}", number) for index in range(200)]
        stores[number].feedback.put(entries if number % 2 else entries[::-1])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(tell, range(4)))
    page = stores[0].feedback.page("churn", "1", limit=500)
    assert len(page.feedback) == 200


def test_feedback_of_a_time_is_read_newest_first(store: Store) -> None:
    store.feedback.put([told(f"r{number}", number, after(number)) for number in range(5)])
    found = store.feedback.between("churn", "1", after(1), after(4), limit=2)
    assert [one.request_id for one in found] == ["r3", "r2"]
    assert len(store.feedback.between("churn", "1", after(1), after(4), limit=9)) == 3
