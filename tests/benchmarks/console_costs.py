"""Costs of the console: its first page, a long log, each page's poll, and predictions beside five open tabs.

    python tests/benchmarks/console_costs.py [--jobs 10000] [--rounds 7] [--polls 400] [--turns 12] [--without-platform]

The first three use a gateway under uvicorn in a process of its own, with a store of 10,000 jobs and a log of 64 MiB, and
Chromium with an empty cache. CPU time is the gateway's alone, from the kernel's scheduler. The last starts a platform with a
job that prints twenty lines a second, and asks a model with wrk in turns: alone, with five tabs of that job of which one is in
sight, and with the requests of five tabs that are all in sight, sent without a browser. On a small machine these
clients take CPUs from the predictions, too, so the platform's own CPU time for the five tabs is measured apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import uvicorn
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

from raylift import Client  # noqa: E402 - the path comes first
from raylift.domain.identifiers import submission_id  # noqa: E402
from raylift.domain.job import Job  # noqa: E402
from raylift.domain.models.version import ModelVersion  # noqa: E402
from raylift.launcher import LocalPlatform  # noqa: E402
from raylift.launcher.processes.platform_processes import processes_of  # noqa: E402
from raylift.services.container import Services  # noqa: E402
from raylift.settings import PlatformSettings  # noqa: E402
from raylift.store import Store  # noqa: E402
from serve_apps.gateway.rest_api import create_app  # noqa: E402
from tests.benchmarks.history import BEGIN, fill, job_number, write_log  # noqa: E402
from tests.benchmarks.own_platform import platform  # noqa: E402
from tests.browser import BROWSER_ARGUMENTS, browser_program, hide  # noqa: E402
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry  # noqa: E402

LOG_BYTES = 64 * 2**20
WHOLE_LOG = r"text=/100.00\d lines/"
"""All of the log that the console reads has arrived."""
GOAL_MS = 0.5
GOAL_SHARE = 0.97
POLLS = {
    "frame of every page": "/mlops/overview",
    "jobs": "/mlops/training/jobs?limit=50",
    "jobs, filtered": "/mlops/training/jobs?limit=50&status=failed",
    "a job": "/mlops/training/jobs/{job}",
    "its history": "/mlops/training/jobs/{job}/events",
    "models": "/mlops/models",
    "a model": "/mlops/models/model-3",
    "its traffic": "/mlops/models/model-3/traffic",
    "a version": "/mlops/models/model-3/versions/1",
    "deployments": "/mlops/deployments",
    "cluster": "/mlops/cluster",
    "queue": "/mlops/queue",
    "environments": "/mlops/environments",
    "sweeps": "/mlops/training/sweeps",
}
SCRIPT = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
"""
PRINTING = "import time\nfor number in range(10**6):\n    print('line', number, flush=True)\n    time.sleep(0.05)\n"
BODY = {"model_name": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]]}


def serve(folder: Path, port: int) -> None:
    """Serve a gateway on the store in ``folder``."""
    nowhere = "http://127.0.0.1:9"
    url = f"sqlite:///{folder}/store.db"
    settings = PlatformSettings(state_dir=folder, database_url=url, mlflow_url="", ray_dashboard_url="", gateway_url=nowhere)
    registry = FakeRegistry({f"model-{n}": {"1": ModelVersion(f"model-{n}", "1", BEGIN)} for n in range(12)})
    services = Services.assemble(settings, store=Store.open(url), registry=registry, cluster=FakeCluster())
    uvicorn.run(create_app(services), port=port, log_level="error", access_log=False)


@contextmanager
def gateway(jobs: list[Job]) -> Iterator[tuple[str, int]]:
    """Yield the address and the process id of a gateway with ``jobs``. The last one has a log of 64 MiB."""
    with tempfile.TemporaryDirectory(prefix="rl-console-") as made:
        folder = Path(made)
        store = Store.open(f"sqlite:///{folder}/store.db")
        store.migrate()
        fill(store, jobs)
        store.close()
        write_log(folder / "attempts" / submission_id(jobs[-1].job_id, 1), LOG_BYTES)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        child = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, port), daemon=True)
        child.start()
        url = f"http://127.0.0.1:{port}"
        while not _answers(url):
            time.sleep(0.1)
        yield url, child.pid or 0
        child.terminate()
        child.join()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/mlops/overview", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def pages(browser: Browser, url: str, jobs: list[Job], rounds: int) -> None:
    first = [_open(browser, f"{url}/console/jobs", "tbody tr") for _ in range(rounds)]
    log = [_open(browser, f"{url}/console/jobs/{jobs[-1].job_id}", WHOLE_LOG) for _ in range(rounds)]
    print("\n| | median | most | goal |\n|---|---|---|---|")
    for name, found, goal in ((f"first rows of {len(jobs):,} jobs, s", first, 1.0), ("end of a log of 64 MiB, s", log, 2.0)):
        seconds = [item[0] for item in found]
        print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {goal} |")
    print(f"| first page, kB over the wire | {first[0][1] / 1000:.0f} | {max(item[1] for item in first) / 1000:.0f} | 150 |")
    print(f"| first page, requests | {first[0][2]} | {max(item[2] for item in first)} | 10 |")
    print(f"| nodes in the page of the log | {log[0][3]} | {max(item[3] for item in log)} | 2000 |")


def _open(browser: Browser, url: str, awaited: str) -> tuple[float, float, int, int]:
    """Open a page with an empty cache. Returns seconds until it shows ``awaited``, bytes, requests, and nodes."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda found: sizes.append(found["encodedDataLength"]))
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(awaited).first.wait_for(timeout=60_000)
    taken = time.perf_counter() - began
    page.wait_for_timeout(300)
    nodes = int(page.evaluate("document.querySelectorAll('*').length"))
    found = (taken, sum(sizes), len(sizes), nodes)
    context.close()
    return found


def polls(url: str, pid: int, jobs: list[Job], count: int) -> bool:
    print("\n| gateway CPU of one poll, ms | changed (200) | unchanged (304) | goal |\n|---|---|---|---|")
    good = True
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for name, path in POLLS.items():
            address = path.format(job=jobs[len(jobs) // 2].job_id)
            answer = http.get(address)
            answer.raise_for_status()
            known = {"If-None-Match": answer.headers.get("ETag", "")}
            whole = _cpu_ms(pid, count, lambda address=address: http.get(address))
            same = _cpu_ms(pid, count, lambda address=address, known=known: http.get(address, headers=known))
            answered = http.get(address, headers=known).status_code
            good = good and same <= GOAL_MS
            print(f"| {name} | {whole:.2f} | {same:.2f}{'' if answered == 304 else f' ({answered})'} | {GOAL_MS} |")
    return good


def _cpu_ms(pid: int, count: int, ask: Callable[[], httpx.Response]) -> float:
    """Milliseconds of the process for one of ``count`` requests: the median of five parts."""
    parts: list[float] = []
    for _ in range(5):
        before = _cpu_ns(pid)
        for _ in range(count // 5):
            ask()
        parts.append((_cpu_ns(pid) - before) / (count // 5) / 1e6)
    return statistics.median(parts)


def _cpu_ns(pid: int) -> int:
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def predictions(browser: Browser, turns: int, scratch: Path) -> bool:
    """Measure predictions in turns: alone, with five tabs, and with the requests of five tabs in sight."""
    with platform(None) as running, Client(running.url) as client, httpx.Client(base_url=running.url, timeout=60) as http:
        client.train(script_content=SCRIPT, model="iris", experiment="bench").wait(timeout=400)
        client.deployments.put("iris", "1", min_replicas=1, max_replicas=1)
        client.deployments.wait("iris", "1", timeout=200)
        job = client.train(script_content=PRINTING, experiment="busy", cpus=0.5, memory="256MiB", timeout=3600).job_id
        while http.get(f"/mlops/training/jobs/{job}").json()["phase"] != "script":
            time.sleep(0.5)
        tab_cpu(browser, running, job)
        ways = {"alone": _nothing, "five tabs, one in sight": _tabs, "requests of five tabs in sight": _requests}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        _wrk(running.url, scratch)
        for number in range(turns):
            for name in list(ways) if number % 2 else reversed(ways):
                with ways[name](browser, running.url, job):
                    rates[name].append(_wrk(running.url, scratch))
        client.jobs.get(job).cancel()
    print("\n| predictions beside a busy job's page | requests/s | ratio | goal |\n|---|---|---|---|")
    ratios = {
        name: statistics.median(a / b for a, b in zip(found, rates["alone"], strict=True)) for name, found in rates.items()
    }
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):.0f} | {ratios[name]:.3f} | {GOAL_SHARE} |")
    return min(ratios.values()) >= GOAL_SHARE


def tab_cpu(browser: Browser, running: LocalPlatform, job: str, rounds: int = 4, seconds: float = 10) -> None:
    """Measure the platform's CPU time for the requests of five tabs: with them less without them, without the clients' own."""
    processes = processes_of(running.record.instance)
    spent: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(rounds):
        for name, way in (("without", _nothing), ("with", _requests)):
            with way(browser, running.url, job):
                time.sleep(1)
                before = _cpu_seconds(processes)
                time.sleep(seconds)
                spent[name].append((_cpu_seconds(processes) - before) / seconds)
    added = statistics.median(a - b for a, b in zip(spent["with"], spent["without"], strict=True))
    print(f"\nplatform's CPU for five tabs in sight of a busy job: {added * 100:.1f} % of a core", flush=True)


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def _nothing(_browser: Browser, _url: str, _job: str) -> Iterator[None]:
    yield


@contextmanager
def _tabs(browser: Browser, url: str, job: str) -> Iterator[None]:
    context = browser.new_context()
    for number in range(5):
        page = context.new_page()
        page.goto(f"{url}/console/jobs/{job}")
        page.locator(".log-line").first.wait_for()
        hide(page, hidden=number < 4)
    yield
    context.close()


@contextmanager
def _requests(_browser: Browser, url: str, job: str) -> Iterator[None]:
    """Send what five tabs in sight send: the job each 2 s, the frame each 5 s, and a stream of the log."""
    stop = threading.Event()

    def poll(path: str, seconds: float) -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            tag = ""
            while not stop.wait(seconds):
                tag = http.get(path, headers={"If-None-Match": tag} if tag else {}).headers.get("ETag", tag)

    def follow() -> None:
        path = f"{url}/mlops/training/jobs/{job}/logs?follow=true&encoding=json&tail=100000"
        with httpx.stream("GET", path, headers={"Accept": "text/event-stream"}, timeout=60) as answer:
            for _ in answer.iter_raw():
                if stop.is_set():
                    return

    threads = [
        threading.Thread(target=target, args=args)
        for _ in range(5)
        for target, args in ((poll, (f"/mlops/training/jobs/{job}", 2.0)), (poll, ("/mlops/overview", 5.0)), (follow, ()))
    ]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def _wrk(url: str, scratch: Path, seconds: int = 4) -> float:
    """Requests a second with four connections. Any answer but 200 ends the benchmark."""
    script = scratch / "body.lua"
    script.write_text(f'wrk.method="POST" wrk.headers["Content-Type"]="application/json" wrk.body=[==[{json.dumps(BODY)}]==]')
    command = ["wrk", "-t1", "-c4", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), f"{url}/mlops/inference"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(said)
    return float(said.split("Requests/sec:")[1].split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7, help="openings of each page")
    parser.add_argument("--polls", type=int, default=400, help="polls of each kind")
    parser.add_argument("--turns", type=int, default=12, help="turns of the predictions")
    parser.add_argument("--without-platform", action="store_true", help="leave the predictions out")
    chosen = parser.parse_args()
    if not chosen.without_platform and shutil.which("wrk") is None:
        raise SystemExit("There is no wrk: apt-get install wrk, or --without-platform")
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        browser = stack.enter_context(playwright.chromium.launch(executable_path=browser_program(), args=BROWSER_ARGUMENTS))
        jobs = [job_number(number) for number in range(chosen.jobs)]
        with gateway(jobs) as (url, pid):
            pages(browser, url, jobs, chosen.rounds)
            good = polls(url, pid, jobs, chosen.polls)
        if not chosen.without_platform:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rl-wrk-")))
            good = predictions(browser, chosen.turns, scratch) and good
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
