"""A model that keeps itself up to date, in accelerated time. See README.md beside this file."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from customers import Customers, TrueValues
from deliveries import World
from expectations import problems_of
from report import Diary

from raylift import Client

HERE = Path(__file__).parent
GATE = "accuracy >= champion_accuracy + 0.03"
"""Metrics of train.py: the new model and the champion on the same unseen rows."""
EVERY_ANSWER = {"sample_rate": 1.0}
BATCH_EVERY_DAYS = 10


class Loop:
    """Plays the part of everything that is outside of the platform: customers, the warehouse and the clock."""

    def __init__(self, client: Client, model: str, world: World, days: int, day_seconds: float) -> None:
        self.client = client
        self.model = model
        self.world = world
        self.days = days
        self.day_seconds = day_seconds
        self.folder = Path(tempfile.mkdtemp(prefix="closed-loop-"))
        self.diary = Diary(client, model)

    def run(self) -> list[str]:
        """Live through all days. Returns what should have happened and did not."""
        self._first_version()
        customers = Customers(self.client.base_url, self.model, self.world.deliveries(1))
        try:
            for day in range(1, self.days + 1):
                self.diary.begin(day)
                if day > 1:
                    self._morning(day, customers.next_day(self.world.deliveries(day)))
                if day % BATCH_EVERY_DAYS == 0:
                    self._score(day)
                # After the night, however long it took: true values must come while a rollout goes on, whose steps are days.
                time.sleep(self.day_seconds)
                self.diary.end(day)
        finally:
            customers.stop()
        return problems_of(self.diary, self.world, self.days, customers.failures)

    def _first_version(self) -> None:
        """Train on the day before the first, and say once how the model is trained, promoted and watched from then on."""
        self._export(0)
        steps = [{"weight": weight, "pause_seconds": self.day_seconds} for weight in (30, 60)]
        rollout = {
            "steps": [*steps, {"weight": 100, "pause_seconds": 0}],
            # A laptop that also trains gives no fair comparison of latencies.
            "guards": {"p95_ratio": None, "quality_drop": 0.02},
        }
        self.client.schedules.create(
            self.model, HERE / "train.py", cron="0 3 * * *", model=self.model, env={"MODEL": self.model}, autolog=False,
            data={"deliveries": self.model}, promote={"alias": "champion", "when": GATE, "rollout": rollout}, cpus=0.5,
        )  # fmt: skip
        self._night(0)
        self.client.deployments.put(self.model, 1, payload_log=EVERY_ANSWER)
        self.client.monitors.set(
            self.model, 1, window_seconds=max(10, round(self.day_seconds)), minimum_rows=200, consecutive_windows=1
        )

    def _morning(self, day: int, known: TrueValues) -> None:
        """True values of yesterday's answers arrive, and yesterday's rows are exported to train with."""
        for version, values in known.items():
            self.client.models.send_feedback(self.model, version, values)
        self._export(day - 1)
        self._night(day)

    def _export(self, day: int) -> None:
        path = self.folder / f"day-{day:02d}.parquet"
        self.world.export(day).to_parquet(path)
        self.diary.trained_on[self.client.datasets.add(self.model, path).version] = day

    def _night(self, day: int) -> None:
        """Run the schedule now instead of at three o'clock, and wait for the gate's decision."""
        job = self.client.schedules.run(self.model).wait(300, progress=False, raise_on_failure=day == 0)
        self.diary.wait_for_gate(day, job.job_id)

    def _score(self, day: int) -> None:
        """Score the day's rows with the champion, as a list for the planners of the next day."""
        path = self.folder / f"plan-{day:02d}.parquet"
        self.world.deliveries(day).drop(columns="late").to_parquet(path)
        batch = self.client.batches.run(
            self.model, path, self.folder / f"plan-{day:02d}.csv", alias="champion", proba=True, stamp=True, cpus=0.5
        )
        self.diary.batches[day] = (batch.model_version, batch.view.result.rows if batch.view.result else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=os.environ.get("RAYLIFT_URL", "http://localhost:8000"), help="the platform")
    parser.add_argument("--model", default="late-deliveries", help="name of model, dataset and schedule; must be new")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--day-seconds", type=float, default=10.0, help="length of a day, at least 10")
    parser.add_argument("--suburbs-from", type=int, default=9, help="day of the first drift")
    parser.add_argument("--winter-from", type=int, default=17, help="day of the second drift")
    parser.add_argument(
        "--broken-export", type=int, default=24, help="day whose labels are exported the wrong way round; 0: none"
    )
    asked = parser.parse_args()
    world = World(asked.suburbs_from, asked.winter_from, asked.broken_export or None)
    begun = datetime.now(UTC)
    with Client(asked.url) as client:
        if any(model.model_name == asked.model for model in client.models.list()):
            parser.error(f"the platform has a model {asked.model} already: name another one with --model")
        loop = Loop(client, asked.model, world, asked.days, asked.day_seconds)
        problems = loop.run()
    print(f"\n{asked.days} days in {(datetime.now(UTC) - begun).total_seconds():.0f} s")
    for problem in problems:
        print("MISSING:", problem)
    print("Everything that should have happened did." if not problems else f"{len(problems)} things did not happen.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
