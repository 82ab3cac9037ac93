"""Mixed load during changes: no request may fail, and each answer must equal the library's own to the bit.

    python tests/benchmarks/soak.py --minutes 10

Starts a platform of its own. Clients call several versions of five models (four flavours and a Python function) by every
protocol and kind of route, with bodies of one to three thousand rows. Meanwhile versions are deployed, traffic and aliases
move, and replicas are killed, scaled, replaced and scaled to zero. Exits with 1 if a request failed or an answer was wrong.
"""

from __future__ import annotations

import argparse
import http.client
import logging
import random
import statistics
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from own_platform import platform
from soak_events import Events, begin
from soak_models import Inputs, SoakModel, inputs, models
from soak_requests import VERSION_HEADER, Asked, some_request

from raylift import Client

_SHOWN = 25
_KEPT_BYTES = 48 * 1024
"""The ingress keeps no larger body for a second attempt: the client sends it again (docs/guides/deployments.md)."""
_BROKEN = frozenset({0, 502})
_SERVING = {"downscale_delay_seconds": 8.0, "upscale_delay_seconds": 2.0}
"""A version without requests scales to zero after seconds, so that many do so within ten minutes."""


@dataclass
class Tally:
    """Results of the requests. Shared by all clients."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: Counter[str] = field(default_factory=Counter[str])
    wrong: Counter[str] = field(default_factory=Counter[str])
    sent_again: Counter[str] = field(default_factory=Counter[str])
    log: list[str] = field(default_factory=list[str])
    """Events and failures, with seconds since the start."""
    began: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, text: str) -> None:
        with self.lock:
            self.log.append(f"{time.monotonic() - self.began:7.2f}  {text}")

    def again(self, asked: Asked) -> None:
        with self.lock:
            self.sent_again[asked.kind] += 1
        self.note(f"sent again: {asked.kind} {asked.path}, {len(asked.body)} bytes")

    def count(self, asked: Asked, seconds: float, *, failure: str | None = None, wrong: str | None = None) -> None:
        with self.lock:
            self.seconds[asked.kind].append(seconds)
            self.failed[asked.kind] += failure is not None
            self.wrong[asked.kind] += wrong is not None
        if problem := failure or wrong:
            how = "WRONG" if wrong else "FAILED"
            size = len(asked.inputs.rows)
            self.note(f"{how} after {seconds:.2f} s: {asked.kind} {asked.model.name} {asked.path} {size} rows: {problem}")


class Asking(threading.Thread):
    """A client that keeps its connection."""

    def __init__(
        self, url: str, seed: int, made: list[SoakModel], asked: dict[str, Inputs], tally: Tally, pause: float
    ) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._connection: http.client.HTTPConnection | None = None
        self._chance = random.Random(seed)
        self._models, self._inputs, self._tally, self._pause = made, asked, tally, pause
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(self._pause):
            asked = some_request(self._chance, self._models, self._inputs)
            began = time.monotonic()
            status, version, content = self._answer(asked)
            if status in _BROKEN and len(asked.body) > _KEPT_BYTES:
                self._tally.again(asked)
                status, version, content = self._answer(asked)
            took = time.monotonic() - began
            if status != 200:
                self._tally.count(asked, took, failure=f"{status} {content[:300]!r}")
            else:
                self._tally.count(asked, took, wrong=asked.wrong(version, content))

    def _answer(self, asked: Asked) -> tuple[int, str | None, bytes]:
        """Status, version and content. The status is 0 if the connection broke."""
        try:
            return self._ask(asked)
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            return 0, None, repr(error).encode()

    def _ask(self, asked: Asked) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=120)
        self._connection.request("POST", asked.path, asked.body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        return response.status, response.getheader(VERSION_HEADER), content


def soak(events: Events, asking: list[Asking], *, seconds: float, every: float) -> None:
    """Send requests and make changes for the given time."""
    for client in asking:
        client.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        events.happen()
        pause = time.monotonic() + every
        while time.monotonic() < pause:
            events.look()
            time.sleep(0.5)
    for client in asking:
        client.over.set()
    for client in asking:
        client.join()


def report(tally: Tally, events: Events, minutes: float) -> bool:
    """Print the tables. Returns True if no request failed and no answer was wrong."""
    print(f"\n| {minutes:g} minutes | requests | failed | wrong | sent again | median ms | 99 % ms | worst ms |\n{'|---' * 8}|")
    every: list[float] = []
    for kind, seconds in sorted(tally.seconds.items()):
        every += seconds
        print(_line(kind, seconds, tally.failed[kind], tally.wrong[kind], tally.sent_again[kind]))
    print(_line("**all**", every, tally.failed.total(), tally.wrong.total(), tally.sent_again.total()))
    print("\n| event | times |\n|---|---|")
    for name, times in sorted(events.done.items()):
        print(f"| {name} | {times} |")
    return not tally.failed.total() and not tally.wrong.total()


def _line(kind: str, seconds: list[float], *counts: int) -> str:
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    figures = " | ".join(f"{1000 * value:.0f}" for value in (statistics.median(ordered), late, ordered[-1]))
    return f"| {kind} | {' | '.join(map(str, (len(ordered), *counts)))} | {figures} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two requests of a client")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two events")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where to write what happened, event by event")
    options = parser.parse_args()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with platform(None, {"serving": _SERVING}) as running, Client(running.url) as client:
        mlflow.set_tracking_uri(running.record.mlflow_url)
        asked = inputs()
        made = models(asked)
        tally = Tally()
        events = Events(running, client, made, random.Random(options.seed), tally.note)
        begin(events, 2, seconds=600)
        asking = [
            Asking(running.url, options.seed * 100 + number, made, asked, tally, options.pause)
            for number in range(options.clients)
        ]
        tally.began = time.monotonic()
        soak(events, asking, seconds=60 * options.minutes, every=options.every)
        went_well = report(tally, events, options.minutes)
        _show(tally, options.log)
    raise SystemExit(0 if went_well else 1)


def _show(tally: Tally, path: Path | None) -> None:
    if path is not None:
        path.write_text("\n".join(tally.log) + "\n")
    problems: list[Any] = [line for line in tally.log if "FAILED" in line or "WRONG" in line]
    print("\n".join(problems[:_SHOWN]))


if __name__ == "__main__":
    main()
