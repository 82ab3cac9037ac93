"""Runs the attacks of ``attack_scripts`` on a platform, with decoys where an attack would do harm."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import raylift
from job_entrypoints import contract
from raylift import Client, Job
from raylift.launcher import LocalPlatform
from tests.e2e.attack_scripts import ATTACKS, MODEL, Attack

MARK: Final = "GOT: "
DATA: Final = "attacked"
"""Dataset of the job that attacks. Its bytes are stored once, for all jobs that get it."""
_KEYS: Final = ("run.json", "join-token", "secrets-key", "admin-key.json", "mlflow/secret")
"""Files of the state directory; most are there with keys only."""


@contextmanager
def targets(platform: LocalPlatform, other: Job) -> Iterator[dict[str, Any]]:
    """Places of what the attacks want. ``other`` is a job of somebody else that has ended, with a model."""
    record = platform.record
    state, session = record.state_dir, record.session_dir
    attempt = state / "attempts" / f"{other.job_id}-a1"
    decoy_file = state / "decoy"
    decoy_file.write_text("decoy")
    with Client(platform.url) as client:
        client.datasets.add(DATA, decoy_file)
    folders = [state / name for name in ("blobs", "batches", "counters", "payloads", "sketches", "uploads", "data_cache")]
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"]) as decoy:
        try:
            yield {
                "state_dir": str(state),
                "store": [str(path) for path in state.glob("raylift.db*")] + [str(path) for path in state.rglob("mlflow.db")],
                "other_attempt": [
                    str(attempt / name) for name in ("attempt.json", "progress.json", "output.log", "source/train.py")
                ],
                "other_folder": str(attempt),
                "pids": [process.pid for process in platform.processes()][:12],
                "decoys": [decoy.pid],
                "decoy_files": [str(decoy_file)],
                "tokens": [
                    str(path)
                    for path in (
                        record.ray_token_file,
                        session / "ingress-rules",
                        session / "node-document.json",
                        *(state / name for name in _KEYS),
                    )
                    if path.exists()
                ],
                "data_folders": [str(folder) for folder in folders if folder.exists()],
                "data_files": [str(path) for folder in folders for path in folder.rglob("*") if path.is_file()][:20],
                "sockets": [str(path) for path in session.rglob("*") if path.is_socket()],
                "ports": _ports(platform),
                "api": record.gateway_url,
                "gcs": record.ray_address,
                "models": [str(path) for path in state.rglob("MLmodel")][:3],
                "environments": _environments(state),
                "wrapper": str(Path(contract.__file__)),
                "disks": [str(path) for path in Path("/dev").glob("[sv]da")],
                "home": str(Path.home()),
            }
        finally:
            decoy.kill()


def run(client: Client, attack: Attack, places: dict[str, Any]) -> list[str]:
    """Run one attack as a job. Returns what it got."""
    job = client.train(
        script_content=attack.script,
        experiment="attacks",
        env={"TARGETS": json.dumps(places)},
        memory="512MiB",
        autolog=False,
        data={"rows": DATA},
    )
    job.wait(120, progress=False, raise_on_failure=False)
    lines = [line for line in job.logs().splitlines() if line.startswith(MARK)]
    if not lines:
        return [f"no report: {job.status}, {job.message}"]
    return json.loads(lines[-1].removeprefix(MARK))


def run_model(client: Client, name: str, places: dict[str, Any]) -> dict[str, list[str]]:
    """Run the attacks in the replica of a model, while it is loaded and while it predicts. Returns what each got."""
    job = client.train(script_content=MODEL, model=name, cpus=0.5, memory="1GiB")
    job.wait(240, progress=False)
    client.deployments.wait(name, "1", timeout=240)
    client.deployments.put(name, "1", min_replicas=1, environment={"TARGETS": json.dumps(places)})
    names = [each.name for each in ATTACKS if each.of_models]
    # A warm process, or the replica without the variable, may answer first.
    while not _answers(client, name, "where")[0]:
        time.sleep(0.5)
    loaded = _answers(client, name, "at load")
    found = {each: set[str]() for each in names}
    for each, at_load in zip(names, loaded, strict=True):
        found[each] |= {*json.loads(at_load), *json.loads(_answers(client, name, each)[0])}
    return {each: sorted(got) for each, got in found.items()}


def run_batch(client: Client, name: str) -> dict[str, list[str]]:
    """Run the attacks of the deployed model in a batch. Returns what each got."""
    with tempfile.TemporaryDirectory() as folder:
        rows, output = Path(folder, "rows.csv"), Path(folder, "output.jsonl")
        with rows.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([each.name] for each in ATTACKS if each.of_models)])
        batch = client.batches.create(name, rows, version="1", output_format="jsonl", memory="1GiB")
        batch.wait(300)
        batch.download(output)
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    return {line["text"]: json.loads(line["prediction"]) for line in lines}


def _answers(client: Client, name: str, *rows: str) -> list[str]:
    return client.predict(name, {"text": list(rows)}).predictions


def _ports(platform: LocalPlatform) -> list[int]:
    ports = platform.record.platform_ports
    public = [port for name, port in platform.record.ports.items() if name not in {"mlflow", "block"}]
    return [
        *public,
        *(port for name, port in ports.internal.items() if name in {"gcs", "node_manager", "agent_http", "fallback_http"}),
    ]


def _environments(state: Path) -> list[str]:
    folders = [path for path in sys.path if "site-packages" in path]
    return [*folders, str(Path(os.__file__).parent), str(Path(raylift.__file__).parent), str(state / "environments")]
