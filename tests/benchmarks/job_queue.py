"""10,000 waiting jobs: the rate of uploads, the cost while they wait, and the rate at which they run.

    python tests/benchmarks/job_queue.py [--quick] [--part waiting|drain|burst] [--jobs 10000] [--clients 8]
        [--drain 16] [--rounds 3] [--burst 200] [--raw-burst 30]

Starts a platform of its own (SQLite) and stops it afterwards. With --state-dir it uses the running platform, whose
configuration must give the owner ``waits`` the quota of OVERRIDES. Each figure has its counterpart from the same run beside it.
Goals: at least 300 uploads a second; the supervisor below 10 % of a core and its memory flat; an unchanged median of a status
query; at least 0.9 times the rate of Ray alone with the same jobs.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
from own_platform import platform, ray_headers

from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

# The owner of the waiting jobs may run none, so the queue stays full while it is measured.
OVERRIDES = {"jobs": {"quotas": {"owners": {"waits": {"max_running_jobs": 0}}}}}
MIB = 2**20
JOB = {"script_content": "pass", "experiment_name": "queue", "autolog": False, "resources": {"cpus": 0.1, "memory": "128MiB"}}


def report(name: str, value: str, beside: str = "", ratio: float | None = None, goal: str = "") -> None:
    print(f"{name:40} {value:>10} {beside:>24} {'' if ratio is None else f'{ratio:.2f}':>7} {goal:>10}", flush=True)


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=120, trust_env=False)


def client_of_ray(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=ray_headers(), timeout=120, trust_env=False)


def upload_many(url: str, count: int, clients: int, owner: str) -> float:
    """Uploads a second, by clients with one connection each."""
    turns = iter(range(count))
    guard = threading.Lock()

    def work() -> None:
        with client(url) as http:
            while True:
                with guard:
                    if next(turns, None) is None:
                        return
                http.post("/mlops/training/upload", json=JOB, headers={"X-Raylift-Owner": owner}).raise_for_status()

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(work) for _ in range(clients)]:
            future.result()
    return count / (time.perf_counter() - start)


def supervisor_of(instance: str) -> psutil.Process:
    return next(p for p in processes_of(instance) if "SupervisorActor" in " ".join(p.cmdline()))


def core_share(process: psutil.Process, seconds: float) -> float:
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def last_of(url: str, owner: str) -> str:
    """The newest job of this owner."""
    with client(url) as http:
        page = http.get("/mlops/training/jobs", params={"owner": owner, "limit": 1}).raise_for_status().json()
    job_id: str = page["jobs"][0]["job_id"]
    return job_id


def status_ms(url: str, job_id: str, times: int) -> float:
    taken: list[float] = []
    with client(url) as http:
        for _ in range(times + 20):
            start = time.perf_counter()
            http.get(f"/mlops/training/jobs/{job_id}").raise_for_status()
            taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken[20:])


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit("that took too long")
        time.sleep(0.1)


def finished(http: httpx.Client, owner: str) -> int:
    page = http.get("/mlops/training/jobs", params={"owner": owner, "limit": 500}).raise_for_status().json()
    failed = [job for job in page["jobs"] if job["status"] in {"failed", "cancelled"}]
    if failed:
        raise SystemExit(f"a job failed: {failed[0]['message']}")
    return sum(job["status"] == "completed" for job in page["jobs"])


def drain(url: str, count: int) -> float:
    """Jobs a second, from the first upload to the last end."""
    owner = f"drain-{uuid.uuid4().hex[:6]}"
    start = time.perf_counter()
    upload_many(url, count, 4, owner)
    with client(url) as http:
        wait_until(lambda: finished(http, owner) == count, 300)
    return count / (time.perf_counter() - start)


def drain_raw(ray_url: str, count: int) -> float:
    """Jobs a second by Ray's own REST API. All are submitted at once; Ray decides how many run at a time."""
    prefix = f"raw-{uuid.uuid4().hex[:6]}"
    start = time.perf_counter()
    submit_raw(ray_url, prefix, count)
    with client_of_ray(ray_url) as http:
        wait_until(lambda: finished_raw(http, prefix) == count, 300)
    return count / (time.perf_counter() - start)


def submit_raw(ray_url: str, prefix: str, count: int) -> None:
    def submit(number: int) -> None:
        body = {
            "submission_id": f"{prefix}-{number}",
            "entrypoint": "python -c pass",
            "entrypoint_num_cpus": 0.1,
            "entrypoint_memory": 128 * MIB,
            "runtime_env": {"env_vars": {"BENCH": f"{prefix}-{number}"}},
        }
        http.post("/api/jobs/", json=body).raise_for_status()

    with client_of_ray(ray_url) as http, ThreadPoolExecutor(4) as pool:
        list(pool.map(submit, range(count)))


def finished_raw(http: httpx.Client, prefix: str) -> int:
    jobs = [job for job in http.get("/api/jobs/").json() if (job.get("submission_id") or "").startswith(prefix)]
    bad = [job for job in jobs if job["status"] in {"FAILED", "STOPPED"}]
    if bad:
        raise SystemExit(f"Ray failed a job: {bad[0]['message']}")
    return sum(job["status"] == "SUCCEEDED" for job in jobs)


def memory_of(processes: list[psutil.Process]) -> int:
    """Bytes of these processes together. Shared memory counts once."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024 if rollup else 0
    return total


def memory_at_most(running: LocalPlatform, seconds: float, submit: Callable[[], object]) -> float:
    """Largest growth in MiB of all processes of the platform, jobs included, after ``submit``."""
    used = [memory_of(processes_of(running.record.instance))]
    submit()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        used.append(memory_of(processes_of(running.record.instance)))
        time.sleep(1.0)
    return (max(used) - used[0]) / MIB


def measure_waiting(running: LocalPlatform, jobs: int, clients: int, seconds: float) -> None:
    supervisor = supervisor_of(running.record.instance)
    with client(running.url) as http:
        answer = http.post("/mlops/training/upload", json=JOB, headers={"X-Raylift-Owner": "waits"}).raise_for_status()
        job_id = answer.json()["job_id"]
    time.sleep(5)
    idle_share, idle_memory = core_share(supervisor, seconds), supervisor.memory_info().rss / MIB
    idle_ms = status_ms(running.url, job_id, 300)
    rate = upload_many(running.url, jobs, clients, "waits")
    report(f"uploads/s, {clients} clients, {jobs} jobs", f"{rate:.0f}", "", rate / 300, "300")
    time.sleep(5)
    share, memory = core_share(supervisor, seconds), supervisor.memory_info().rss / MIB
    report("supervisor, % of a core", f"{share * 100:.1f}", f"one waiting {idle_share * 100:.1f}", None, "< 10")
    report("supervisor, MiB", f"{memory:.0f}", f"one waiting {idle_memory:.0f}", memory / idle_memory, "flat")
    for place, waiting_id in (("first", job_id), ("last", last_of(running.url, "waits"))):
        busy_ms = status_ms(running.url, waiting_id, 300)
        name = f"status of the {place} that waits, median ms"
        report(name, f"{busy_ms:.2f}", f"one waiting {idle_ms:.2f}", busy_ms / idle_ms, "1.0")


def measure_drain(running: LocalPlatform, jobs: int, rounds: int) -> None:
    ray_url = running.record.ray_dashboard_url
    drain(running.url, 4)
    drain_raw(ray_url, 4)
    pairs = [(drain_raw(ray_url, jobs), drain(running.url, jobs)) for _ in range(rounds)]
    theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for other, mine in pairs)
    name = f"jobs of `pass` drained/s, {rounds} x {jobs} jobs"
    report(name, f"{ours:.2f}", f"raw Ray {theirs:.2f}", ratio, ">= 0.9")


def measure_burst(running: LocalPlatform, jobs: int, raw: int, seconds: float) -> None:
    ray_url = running.record.ray_dashboard_url
    prefix = f"burst-{uuid.uuid4().hex[:6]}"
    theirs = memory_at_most(running, seconds / 2, lambda: submit_raw(ray_url, prefix, raw))
    with client_of_ray(ray_url) as http:
        wait_until(lambda: finished_raw(http, prefix) == raw, 300)
    ours = memory_at_most(running, seconds, lambda: upload_many(running.url, jobs, 8, "burst"))
    report(f"{jobs} jobs at once, MiB more at most", f"{ours:.0f}", f"raw Ray, {raw} jobs {theirs:.0f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--jobs", type=int, default=10_000)
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--drain", type=int, default=16)
    options.add_argument("--rounds", type=int, default=3, help="of draining, raw Ray and the platform in turns")
    options.add_argument("--burst", type=int, default=200)
    options.add_argument("--raw-burst", type=int, default=30, help="jobs that raw Ray gets at once: a process each")
    options.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    options.add_argument("--part", choices=["waiting", "drain", "burst"], help="only this one")
    options.add_argument("--state-dir", type=Path)
    chosen = options.parse_args()
    scale = 10 if chosen.quick else 1
    parts = [chosen.part] if chosen.part else ["waiting", "drain", "burst"]
    with platform(chosen.state_dir, OVERRIDES) as running:
        print(f"{'':40} {'raylift':>10} {'beside':>24} {'ratio':>7} {'goal':>10}")
        if "waiting" in parts:
            measure_waiting(running, chosen.jobs // scale, chosen.clients, 20 / scale)
        if "drain" in parts:
            measure_drain(running, chosen.drain // scale, chosen.rounds)
        if "burst" in parts:
            measure_burst(running, chosen.burst // scale, chosen.raw_burst // scale, 80)


if __name__ == "__main__":
    main()
