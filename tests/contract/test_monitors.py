"""Windows of watched versions on both databases: closed and told once, also where supervisors are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.errors import StaleLease, StaleMonitor
from raylift.domain.identifiers import new_webhook_id
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.quality import Quality
from raylift.domain.monitoring.monitor import Alert, Check, Figures, MonitorSettings, MonitorState, Window
from raylift.domain.monitoring.quality_window import QualityWindow, Score, ScoreState
from raylift.domain.monitoring.reference import (
    SEEN,
    ColumnKind,
    Reference,
    ReferenceColumn,
    counter_names,
    prefix_of,
    sketched_name,
)
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat, WebhookTarget, new_secret
from raylift.engines.metrics.counter_files import CounterFile
from raylift.store import Store
from tests.contract.samples import NOW

VERSION = ("churn", "3")
HOUR = timedelta(hours=1)
AGE = ReferenceColumn("age", ColumnKind.NUMBER, 1000, 0, (500, 500), (40.0,), 18.0, 90.0)
REFERENCE = Reference(1000, (AGE,))
KILLS = 4
WINDOWS = 9


def hook(store: Store) -> str:
    webhook = Webhook(
        new_webhook_id(), "all", "default", WebhookFormat.STANDARD, "https://…", EventFilter(), NOW, "anna", NOW, "anna"
    )
    store.webhooks.add(webhook, WebhookTarget("https://hooks.example.com/", new_secret()))
    return webhook.webhook_id


def told(store: Store, webhook_id: str) -> list[dict[str, Any]]:
    """Return the contents of the events, oldest first."""
    return [dict(each.data) for each in store.webhooks.deliveries(webhook_id, limit=500).deliveries][::-1]


def lease_of(store: Store, holder: str = "one", now: datetime = NOW) -> Lease:
    lease = store.leases.acquire(SUPERVISOR, holder, now=now, seconds=60)
    assert lease is not None
    return lease


def window(start: datetime, *figures: Figures) -> Window:
    return Window(*VERSION, start, start + HOUR, 500, 400, True, list(figures))


def alert(number: int, **fields: Any) -> Alert:
    return Alert(f"alert_{number}", *VERSION, Check.DRIFT, "age", None, 0.5, 0.25, NOW, NOW, **fields)


def test_window_is_stored_with_its_alerts_event_and_audit(store: Store) -> None:
    webhook_id, lease = hook(store), lease_of(store)
    store.monitors.begin(lease, *VERSION, REFERENCE, NOW)
    monitor = store.monitors.find(*VERSION)
    assert monitor is not None
    assert (monitor.reference, monitor.settings, monitor.is_read) == (REFERENCE, MonitorSettings(), True)
    figures = Figures("age", False, None, 400, 0.5, 0.25, 0.2, 0.3, 0.0, 0.0, 0.01, 0.0, 0.0, 0.02, (Check.DRIFT,))
    state = MonitorState({"|0|bin.0": 400.0}, {}, {})
    store.monitors.close_window(lease, monitor, window(NOW, figures), state, raised=[alert(1)], ended=[], now=NOW + HOUR)
    again = store.monitors.find(*VERSION)
    assert again is not None
    assert (again.state, again.since) == (state, NOW + HOUR)
    assert store.monitors.windows(*VERSION, limit=5).windows == [window(NOW, figures)]
    assert store.monitors.open_alerts(*VERSION) == [alert(1)]
    (event,) = told(store, webhook_id)
    assert [each["alert_id"] for each in event["raised"]] == ["alert_1"]
    (entry,) = store.audit.list(AuditFilter(action="monitor."), limit=5).entries
    assert (entry.action, entry.target) == ("monitor.alert", "churn/3")
    ended = alert(1, ended_at=NOW + 2 * HOUR)
    store.monitors.close_window(lease, again, window(NOW + HOUR), state, raised=[], ended=[ended], now=NOW + 2 * HOUR)
    assert store.monitors.open_alerts(*VERSION) == []
    assert store.monitors.alerts(*VERSION, limit=5).alerts == [ended]
    assert [len(each["ended"]) for each in told(store, webhook_id)] == [0, 1]


def test_window_is_closed_once_by_whoever_comes_first(store: Store) -> None:
    webhook_id, lease = hook(store), lease_of(store)
    store.monitors.begin(lease, *VERSION, REFERENCE, NOW)
    monitor = store.monitors.find(*VERSION)
    assert monitor is not None
    close = store.monitors.close_window
    close(lease, monitor, window(NOW), MonitorState(), raised=[alert(1)], ended=[], now=NOW + HOUR)
    with pytest.raises(StaleMonitor):
        close(lease, monitor, window(NOW), MonitorState(), raised=[alert(2)], ended=[], now=NOW + HOUR)
    lease_of(store, "another", NOW + HOUR)
    again = store.monitors.find(*VERSION)
    assert again is not None
    with pytest.raises(StaleLease):
        close(lease, again, window(NOW + HOUR), MonitorState(), raised=[alert(3)], ended=[], now=NOW + HOUR)
    assert len(told(store, webhook_id)) == 1


def test_settings_of_a_user_restart_the_streaks_and_win_over_a_window(store: Store) -> None:
    lease = lease_of(store)
    assert store.monitors.set(*VERSION, MonitorSettings(enabled=False), NOW).is_read is False
    store.monitors.begin(lease, *VERSION, REFERENCE, NOW + HOUR)
    monitor = store.monitors.find(*VERSION)
    assert monitor is not None
    assert (monitor.settings.enabled, monitor.since) == (False, NOW + HOUR)
    changed = store.monitors.set(*VERSION, MonitorSettings(window_seconds=60), NOW + 2 * HOUR)
    assert (changed.reference, changed.since) == (REFERENCE, NOW + 2 * HOUR)
    with pytest.raises(StaleMonitor):
        store.monitors.close_window(lease, monitor, window(NOW), MonitorState(), raised=[], ended=[], now=NOW + HOUR)
    (head,) = store.monitors.heads()
    assert (head.key, head.has_reference, head.is_read) == (VERSION, True, True)


def test_window_of_quality_is_stored_once_with_its_alerts(store: Store) -> None:
    webhook_id, lease = hook(store), lease_of(store)
    store.monitors.begin(lease, *VERSION, REFERENCE, NOW)
    monitor = store.monitors.find(*VERSION)
    assert monitor is not None
    store.monitors.begin_scores(lease, monitor, ScoreState(5.0, NOW), NOW)
    monitor = store.monitors.find(*VERSION)
    assert monitor is not None
    assert (monitor.scored_until, monitor.scores) == (NOW, ScoreState(5.0, NOW))
    quality = Quality(120, accuracy=0.7, accuracy_low=0.6, accuracy_high=0.8)
    scores = [Score(None, quality, ("accuracy",)), Score("plan=pro", quality)]
    found = QualityWindow(*VERSION, NOW, NOW + HOUR, 900, 1000.0, 3, 2, NOW, scores, "2")
    state = ScoreState(905.0, NOW + HOUR, {"": quality}, {"volume||requests": 1})
    close = store.monitors.close_quality
    close(lease, monitor, found, state, raised=[alert(1), replace(alert(2), segment="plan=pro")], ended=[], now=NOW + HOUR)
    again = store.monitors.find(*VERSION)
    assert again is not None
    assert (again.scored_until, again.scores, again.since) == (NOW + HOUR, state, NOW)
    assert store.monitors.quality_windows(*VERSION, limit=5).windows == [found]
    assert store.monitors.rows_of_windows(*VERSION, [(NOW, NOW + HOUR), (NOW, NOW + 2 * HOUR)]) == [900]
    with pytest.raises(StaleMonitor):
        close(lease, monitor, found, state, raised=[], ended=[], now=NOW + HOUR)
    # Other settings end alerts that no window could end, and tell that, too.
    store.monitors.set(*VERSION, MonitorSettings(segment_column="plan"), NOW + HOUR)
    assert [each.alert_id for each in store.monitors.open_alerts(*VERSION)] == ["alert_1"]
    store.monitors.set(*VERSION, MonitorSettings(enabled=False), NOW + HOUR)
    assert store.monitors.open_alerts(*VERSION) == []
    assert [len(each["ended"]) for each in told(store, webhook_id)] == [0, 1, 1]
    assert store.monitors.set(*VERSION, MonitorSettings(), NOW + HOUR).scored_until is None
    assert store.monitors.forget_before(NOW + 2 * HOUR) is False
    assert store.monitors.quality_windows(*VERSION, limit=5).windows == []


def test_pages_follow_each_other_and_old_windows_go(store: Store) -> None:
    lease = lease_of(store)
    store.monitors.begin(lease, *VERSION, REFERENCE, NOW)
    for place in range(5):
        monitor = store.monitors.find(*VERSION)
        assert monitor is not None
        raised = [alert(place, ended_at=NOW)]
        at = NOW + place * HOUR
        store.monitors.close_window(lease, monitor, window(at), MonitorState(), raised=raised, ended=[], now=at + HOUR)
    first = store.monitors.windows(*VERSION, limit=3)
    rest = store.monitors.windows(*VERSION, limit=3, cursor=first.next_cursor)
    assert [each.start_at for each in (*first.windows, *rest.windows)] == [NOW + place * HOUR for place in (4, 3, 2, 1, 0)]
    page = store.monitors.alerts(*VERSION, limit=3)
    more = store.monitors.alerts(*VERSION, limit=3, cursor=page.next_cursor)
    assert [each.alert_id for each in (*page.alerts, *more.alerts)] == [f"alert_{place}" for place in (4, 3, 2, 1, 0)]
    assert store.monitors.forget_before(NOW + 4 * HOUR) is False
    assert len(store.monitors.windows(*VERSION, limit=9).windows) == 2
    assert store.monitors.alerts(*VERSION, limit=9).alerts == []


def test_killed_supervisors_count_each_row_and_tell_each_alert_once(
    open_store: Callable[[], Store], database_url: str, tmp_path: Path
) -> None:
    store = open_store()
    webhook_id, lease = hook(store), lease_of(store, now=datetime.now(UTC))
    settings = MonitorSettings(window_seconds=1, minimum_rows=20, consecutive_windows=1)
    store.monitors.set(*VERSION, settings, datetime.now(UTC))
    store.monitors.begin(lease, *VERSION, REFERENCE, datetime.now(UTC))
    store.leases.release(lease)
    names = counter_names(REFERENCE)
    file = CounterFile(tmp_path / "s", *VERSION, ProcessKind.REPLICA, started_at=datetime.now(UTC), names=names)
    place = {name: index for index, name in enumerate(names)}
    arguments = [database_url, str(tmp_path / "keys"), str(tmp_path / "s")]

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "tests.contract.monitor_supervisor", *arguments])

    def answer(rows: int, *, drifted: bool) -> None:
        counts = (0, rows) if drifted else (rows // 2, rows - rows // 2)
        for name, count in zip(("bin.0", "bin.1"), counts, strict=True):
            file.values[place[prefix_of("", "0") + name]] += count
        # The order of a process: what is compared is there before it is counted as sketched.
        file.values[place[sketched_name("")]] += rows
        file.values[place[SEEN]] += rows

    def closed() -> list[Window]:
        return store.monitors.windows(*VERSION, limit=500).windows

    running, sent, kills = [begin(), begin()], 0, 0
    deadline = time.monotonic() + 240
    try:
        while len(closed()) < WINDOWS:
            assert time.monotonic() < deadline, "no windows are closed"
            # Drift comes and goes with the windows.
            before = len(closed())
            answer(300, drifted=before % 2 == 1)
            sent += 300
            while len(closed()) == before and time.monotonic() < deadline:
                time.sleep(0.01)
            if kills < KILLS:
                running[0].kill()
                running[0].wait()
                running, kills = [running[1], begin()], kills + 1
    finally:
        for process in running:
            process.kill()
            process.wait()
        file.close()
    found = closed()
    assert sum(each.rows_seen for each in found) == sum(each.rows_sketched for each in found) == sent
    events = told(store, webhook_id)
    raised = [each["alert_id"] for event in events for each in event["raised"]]
    ended = [each["alert_id"] for event in events for each in event["ended"]]
    alerts = store.monitors.alerts(*VERSION, limit=500).alerts
    assert sorted(raised) == sorted(each.alert_id for each in alerts)
    assert sorted(ended) == sorted(each.alert_id for each in alerts if each.ended_at)
    assert len(raised) >= WINDOWS // 2 - 1
    # One alert at a time: each ends before the next is raised.
    assert [bool(event["raised"]) for event in events] == [place % 2 == 0 for place in range(len(events))]
    assert len(store.audit.list(AuditFilter(action="monitor."), limit=500).entries) == len(raised) + len(ended)
