"""A small extra requirement: our overlays beside Ray's own ``pip`` and ``uv`` fields, on one private cluster, in one run.

    python -m tests.benchmarks.environments [--rounds 3]

Measures seconds from submission to the first line, including our resolving. Each round uses another version of the package,
so that no mechanism has it cached: ours begins with an empty download cache, Ray's with its own state. The mechanisms take
turns. Each round ends with the removal of Ray's environment, a copy of the base.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from raylift.engines.environments import EnvironmentUnresolvable, runtime_env_for
from raylift.engines.environments.locking.lock_cache import lock_of
from raylift.engines.environments.locking.resolve import resolve
from tests.integration.environments.private_ray import Cluster, private_ray

_VERSIONS: Final = ("4.9.0", "4.10.0", "4.11.0", "4.12.1", "4.12.2", "4.12.3")
_FIRST_LINE: Final = "import time; print('FIRST', time.time(), flush=True)"
_LONGEST: Final = 300.0

MakeEnvironment = Callable[[str], dict[str, Any]]


def first_line(cluster: Cluster, make: MakeEnvironment, version: str | None) -> float:
    """Seconds until a job prints its first line. The job imports the package if a version is given."""
    check = "" if version is None else f"import humanize; assert humanize.__version__ == {version!r}; "
    begun = time.time()
    runtime_env = make(version) if version else {}
    job, output = cluster.run(f"python -c {shlex.quote(check + _FIRST_LINE)}", runtime_env, seconds=_LONGEST)
    if job["status"] != "SUCCEEDED":
        raise SystemExit(f"a job failed: {job['message']}\n{output}")
    return float(output.partition("FIRST ")[2].split()[0]) - begun


def failure(cluster: Cluster, runtime_env: dict[str, Any]) -> float:
    """Seconds until Ray reports that an environment cannot be built."""
    begun = time.time()
    job, _ = cluster.run("true", runtime_env, seconds=_LONGEST)
    if job["status"] != "FAILED":
        raise SystemExit("what cannot be installed was installed")
    return time.time() - begun


def occupied(*folders: Path) -> int:
    """Bytes on disk. A file with several names counts once."""
    files = {(s.st_dev, s.st_ino): s.st_blocks * 512 for folder in folders for p in folder.rglob("*") if (s := p.lstat())}
    return sum(files.values())


class Measured:
    """Figures of one run by name, in the order of measurement."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.bytes: dict[str, list[int]] = {}

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        print(f"  {name}: {seconds:.2f} s", flush=True)

    def print(self) -> None:
        base = statistics.median(self.seconds["no requirement"])
        ours = statistics.median(self.seconds["overlay, cold"])
        print("\n| submit to first line | median s | beyond no requirement, s | of overlay cold |\n|---|---|---|---|")
        for name, values in self.seconds.items():
            middle = statistics.median(values)
            print(f"| {name} | {middle:.2f} | {middle - base:+.2f} | {middle / ours:.1f}x |")
        print("\n| one environment on disk | MiB |\n|---|---|")
        for name, sizes in self.bytes.items():
            print(f"| {name} | {statistics.median(sizes) / 2**20:.1f} |")


def run(cluster: Cluster, rounds: int) -> Measured:
    measured = Measured()
    resources = next((cluster.folder / "ray").glob("session_2*")) / "runtime_resources"
    first_line(cluster, lambda _: {}, None)
    for number, version in enumerate(_VERSIONS[:rounds]):
        root = cluster.folder / f"environments-{number}"

        def overlay(version: str, root: Path = root) -> dict[str, Any]:
            return runtime_env_for(lock_of([f"humanize=={version}"], root), root)

        measured.add("no requirement", first_line(cluster, overlay, None))
        measured.add("overlay, cold", first_line(cluster, overlay, version))
        measured.bytes.setdefault("overlay", []).append(occupied(root))
        measured.add("overlay, warm", first_line(cluster, overlay, version))
        for field in ("pip", "uv"):
            measured.add(f"Ray's {field}, cold", first_line(cluster, lambda v, f=field: {f: [f"humanize=={v}"]}, version))
            measured.add(f"Ray's {field}, warm", first_line(cluster, lambda v, f=field: {f: [f"humanize=={v}"]}, version))
            measured.bytes.setdefault(f"Ray's {field}", []).append(occupied(resources / field))
            for copy in (resources / field).iterdir():
                shutil.rmtree(copy, ignore_errors=True)
    begun = time.time()
    try:
        resolve(["humanize==999"])
    except EnvironmentUnresolvable as error:
        measured.add("impossible requirement, ours, fails", time.time() - begun)
        print(f"  {error.detail}")
    # The cluster tries once. Ray's default is three times.
    measured.add("impossible requirement, Ray's pip, fails", failure(cluster, {"pip": ["humanize==999"]}))
    return measured


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3, choices=range(1, len(_VERSIONS) + 1))
    chosen = options.parse_args()
    with private_ray() as cluster:
        run(cluster, chosen.rounds).print()


if __name__ == "__main__":
    main()
