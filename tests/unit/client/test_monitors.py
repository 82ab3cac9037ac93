"""``client.monitors``."""

from __future__ import annotations

from typing import Any

import httpx

from tests.unit.cli.test_monitor_command import ALERT, MONITOR, PATH, QUALITY_WINDOW, SETTINGS, WINDOW


def test_settings_that_are_not_given_stay(client: Any, platform: Any) -> None:
    platform.on("GET", PATH, httpx.Response(200, json=MONITOR))
    platform.on("PUT", PATH, httpx.Response(200, json=MONITOR))
    assert client.monitors.set("churn", 3, minimum_rows=500).open_alerts[0].feature == "age"
    assert platform.bodies() == [SETTINGS | {"minimum_rows": 500}]


def test_pages_are_followed(client: Any, platform: Any) -> None:
    for name, entry in (("windows", WINDOW), ("alerts", ALERT), ("quality", QUALITY_WINDOW)):
        field = "alerts" if name == "alerts" else "windows"
        pages = [{field: [entry], "next_cursor": "more"}, {field: [entry], "next_cursor": None}]
        platform.on("GET", f"{PATH}/{name}", *(httpx.Response(200, json=page) for page in pages))
    assert [window.rows_seen for window in client.monitors.windows("churn", 3)] == [900, 900]
    assert [alert.alert_id for alert in client.monitors.alerts("churn", 3)] == ["alert_1", "alert_1"]
    assert [window.scores[0].quality.accuracy for window in client.monitors.quality("churn", 3)] == [0.71, 0.71]
