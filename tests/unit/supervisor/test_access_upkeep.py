"""Keys that the supervisor publishes, and the retention of the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raylift.domain.access import LOCAL, Role
from raylift.domain.audit import AuditFilter, Outcome
from raylift.ingress.keys import KeyMaps
from raylift.services.access.keys import KeyRequest, KeyService
from raylift.settings import PlatformSettings, RetentionSettings
from raylift.store import Act, Store
from raylift.supervisor.housekeeping.publish_keys import KeyPublisher
from raylift.supervisor.housekeeping.retention import Retention


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    store.migrate()
    yield store
    store.close()


def now() -> datetime:
    return datetime.now(UTC)


def test_published_keys_follow_the_store(store: Store, tmp_path: Path) -> None:
    maps, keys = KeyMaps(tmp_path), KeyService(store)
    publisher = KeyPublisher(store, maps, now)
    created = keys.create(LOCAL, KeyRequest("ann", Role.VIEWER, "red", ("churn",)))
    publisher.publish()
    lines = maps.keys.read_text().splitlines()
    assert lines == [f"{created.key.sha256} 99999999999:own:red:limited:no:no", f"{created.key.sha256}/churn 1"]
    assert created.token not in maps.keys.read_text()
    keys.revoke(created.key.key_id)
    publisher.publish()
    assert maps.keys.read_text() == ""


@pytest.mark.parametrize(("days", "left"), [(365.0, 1), (None, 1), (0.0, 0)])
def test_audit_is_kept_for_its_time(store: Store, tmp_path: Path, days: float | None, left: int) -> None:
    settings = PlatformSettings(
        state_dir=tmp_path,
        database_url="",
        mlflow_url="",
        ray_dashboard_url="",
        gateway_url="",
        retention=RetentionSettings(audit_days=days),
    )
    store.audit.add(Act("ann", "job.submit").entry(Outcome.DONE))
    Retention(settings, store, lambda: now() + timedelta(days=30)).remove_expired()
    assert len(store.audit.list(AuditFilter(), limit=9).entries) == left
