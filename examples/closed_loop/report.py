"""The diary of the example: what the platform says of each day, as a line."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from raylift import Client
from raylift.api.access import AuditEntryView
from raylift.api.monitoring.monitors import AlertView

TOLD = ("gate.promoted", "rollout.completed", "rollout.rolled_back", "rollout.superseded", "monitor.alert")
"""Actions of the audit that a day's line tells."""
GATE_SECONDS = 120


class Diary:
    """Reads a day's end from the platform: everything that is printed comes from its API."""

    def __init__(self, client: Client, model: str) -> None:
        self.trained_on: dict[int, int] = {}
        """Version of the dataset → day of its rows."""
        self.batches: dict[int, tuple[str, int]] = {}
        """Day → version, and rows that it scored."""
        self.audit: dict[int, list[AuditEntryView]] = {}
        self.alerts: dict[int, list[AlertView]] = {}
        self.accuracy: dict[int, float] = {}
        """Day on which the true values came → accuracy of the champion."""
        self.champion: dict[int, str] = {}
        self.client = client
        self.model = model
        self._begun = self._told = datetime.now(UTC)

    def begin(self, day: int) -> None:
        if day == 1:
            print(" day  serving          accuracy        drift              what happened")
        self._begun = datetime.now(UTC)

    def wait_for_gate(self, day: int, job_id: str) -> None:
        """Wait until the gate of a night's job is decided."""
        end = time.monotonic() + GATE_SECONDS
        while True:
            view = self.client.jobs.get(job_id).view
            if view.status != "completed" or (view.promotion is not None and view.promotion.outcome != "pending"):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"day {day}: the gate of {job_id} is not decided after {GATE_SECONDS} s")
            time.sleep(0.3)

    def end(self, day: int) -> None:
        """Print the day's line."""
        client, model = self.client, self.model
        shares = {
            each.model_version: each.share for each in client.traffic.get(model).versions if each.model_version and each.share
        }
        champion = self.champion[day] = client.models.aliases(model)["champion"]
        quality = {version: client.models.quality(model, version, since=self._begun).overall for version in shares}
        known = {version: found.accuracy for version, found in quality.items() if found.accuracy is not None}
        if champion in known:
            self.accuracy[day] = known[champion]
        self.alerts[day] = client.monitors.get(model, champion).open_alerts
        self.audit[day] = [
            entry for entry in client.audit.entries(since=self._told) if entry.target and not entry.target.startswith("/")
        ][::-1]
        self._told = datetime.now(UTC)
        serving = " ".join(f"v{version} {share:.0%}" for version, share in shares.items())
        right = " ".join(f"v{version} {accuracy:.1%}" for version, accuracy in known.items())
        drift = " ".join(sorted({alert.feature for alert in self.alerts[day]}))
        print(f"{day:4}  {serving:15}  {right:14}  {drift:17}  {self._happened(day)}", flush=True)

    def _happened(self, day: int) -> str:
        told = [f"{entry.action} {entry.target}: {entry.detail}" for entry in self.audit[day] if entry.action in TOLD]
        if day in self.batches:
            version, rows = self.batches[day]
            told.append(f"batch: {rows} rows by v{version}")
        return f"\n{'':58}".join(told)

    def day_of(self, version: str) -> int:
        """Return the day whose rows a version was trained on, from its lineage."""
        lineage = self.client.models.version(self.model, version).lineage
        return self.trained_on[int(lineage.data["deliveries"].split("@")[1])]
