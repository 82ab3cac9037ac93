from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from raylift.domain.webhooks.event import SELECTABLE, EventType, PlatformEvent
from raylift.domain.webhooks.webhook import EventFilter, filter_errors, name_error, new_secret

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(kind: EventType = EventType.JOB_FAILED, model: str | None = "churn", owner: str | None = "anna") -> PlatformEvent:
    return PlatformEvent(kind, "job_1", NOW, {}, model, "nightly-e", owner)


@pytest.mark.parametrize(
    ("wanted", "selects"),
    [
        (EventFilter(), True),
        (EventFilter(("job.failed",)), True),
        (EventFilter(("job.*",)), True),
        (EventFilter(("job.completed", "*.failed")), True),
        (EventFilter(("job.completed",)), False),
        (EventFilter(("Job.*",)), False),
        (EventFilter(models=("ch*",)), True),
        (EventFilter(models=("fraud", "churn")), True),
        (EventFilter(models=("fraud",)), False),
        (EventFilter(experiments=("nightly-?",)), True),
        (EventFilter(experiments=("hourly",)), False),
        (EventFilter(owners=("anna",)), True),
        (EventFilter(owners=("ben",)), False),
        (EventFilter(("job.*",), ("churn",), ("*",), ("ben",)), False),
    ],
)
def test_filter_selects_by_every_condition(wanted: EventFilter, selects: bool) -> None:
    assert wanted.selects(event()) is selects


def test_event_without_a_model_meets_no_condition_on_models() -> None:
    assert not EventFilter(models=("*",)).selects(event(model=None))
    assert not EventFilter(owners=("*",)).selects(event(EventType.ALIAS_MOVED, owner=None))


def test_pattern_that_selects_nothing_is_an_error_with_advice() -> None:
    (error,) = filter_errors(EventFilter(("job.*", "job.sucess")))
    assert error.field == "events[1]"
    (close,) = filter_errors(EventFilter(("job.faild",)))
    assert "did you mean 'job.failed'?" in close.detail
    (unknown,) = filter_errors(EventFilter(("zzz",)))
    assert all(each in unknown.detail for each in SELECTABLE)
    (empty,) = filter_errors(EventFilter(()))
    assert "'*'" in empty.detail


def test_test_events_cannot_be_selected() -> None:
    assert [each.field for each in filter_errors(EventFilter(("webhook.test",)))] == ["events[0]"]


def test_secret_has_32_random_bytes() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "webhook_01J00000000000000000000000"])
def test_wrong_names_are_refused(name: str) -> None:
    assert name_error(name)
    assert name_error("slack-alerts.1") is None
