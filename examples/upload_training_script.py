#!/usr/bin/env python3
r"""Upload a training script over the plain REST API, wait for its end, and print a prediction request for its model.

Standard library only: any HTTP client in any language can do the same. From Python, `from raylift import Client`
is shorter; on the command line, `raylift train --follow`.

    python examples/upload_training_script.py --script my_model.py --experiment my_exp --model my_model \
        --requirements scikit-learn

Exit codes: 0 the model is registered, 1 the job failed or was cancelled, 2 the upload was refused, 4 no answer.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shlex
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

FINAL = {"completed", "failed", "cancelled"}
SAMPLES: dict[str, list[Any]] = {"BYTES": ["a", "b"], "BOOL": [True, False]}
AWAY_SECONDS = 60
"""Seconds without an answer, e.g. while the platform restarts, before waiting ends."""


class Refused(Exception):
    """An answer of 400 or above."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(problem.get("detail") or problem.get("error") or f"the platform answered {status}")


class Platform:
    """The part of the REST API that this script needs."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        loopback = urllib.parse.urlsplit(self.url).hostname in {"127.0.0.1", "localhost", "::1"}
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if loopback else []))

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 30) -> Any:
        data = None if body is None else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(
            self.url + path, data=data, headers={**kind, **self._headers, **(headers or {})}, method=method
        )
        try:
            with self._opener.open(request, timeout=timeout) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _problem(error.read())) from error


def main() -> int:
    options = parse_arguments()
    platform = Platform(options.url, options.api_key)
    try:
        accepted = upload(platform, options)
        say(f"{accepted['job_id']} is queued")
        job = wait(platform, accepted["job_id"])
    except Refused as error:
        say(f"refused ({error.status}): {error}")
        errors: list[dict[str, Any]] = error.problem.get("errors") or []
        for item in errors:
            place = f":{item['line']}:{item.get('column') or 1}" if item.get("line") else ""
            say(f"  {options.script if place else item.get('field')}{place}: {item.get('detail')}")
        return 4 if error.status in {502, 503, 504} else 2
    except OSError as error:
        say(f"{options.url} does not answer: {getattr(error, 'reason', error)}. Is the platform up? `raylift up` starts one.")
        return 4
    except KeyboardInterrupt:
        say("\nno longer waiting; the job goes on")
        return 130
    return report(platform, job)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Upload a training script, and wait for its model.")
    parser.add_argument("--script", type=Path, required=True, help="the training script")
    parser.add_argument("--experiment", required=True, help="MLflow experiment, made if absent")
    parser.add_argument("--model", help="registered model to add a version to; without: nothing is registered")
    parser.add_argument(
        "--requirements", nargs="+", action="extend", default=[], metavar="PACKAGE", help="PEP 508 requirements"
    )
    parser.add_argument(
        "--env", nargs="+", action="extend", default=[], metavar="K=V", help="environment variables of the script"
    )
    parser.add_argument("--timeout", type=int, default=600, help="seconds the script may run (default 600)")
    parser.add_argument("--cpus", type=float, default=1.0, help="logical CPUs (default 1)")
    parser.add_argument("--memory", default="2GiB", help="its memory limit (default 2GiB)")
    parser.add_argument("--url", default=os.environ.get("RAYLIFT_URL") or "http://localhost:8000", help="the platform")
    parser.add_argument("--api-key", default=os.environ.get("RAYLIFT_API_KEY"), help="its API key, if it wants one")
    options = parser.parse_args()
    if not options.script.is_file():
        parser.error(f"there is no file {options.script}")
    wrong = [text for text in options.env if not text.partition("=")[0] or "=" not in text]
    if wrong:
        parser.error(f"--env {wrong[0]}: write NAME=VALUE")
    return options


def upload(platform: Platform, options: argparse.Namespace) -> Any:
    body = {
        "script_content": base64.b64encode(options.script.read_bytes()).decode(),
        "script_encoding": "base64",
        "script_name": options.script.name,
        "experiment_name": options.experiment,
        "model_name": options.model,
        "requirements": options.requirements,
        "environment": dict(text.split("=", 1) for text in options.env),
        "timeout_seconds": options.timeout,
        "resources": {"cpus": options.cpus, "memory": options.memory},
    }
    # With a key, the upload can be sent again after a broken connection without making a second job.
    key = {"Idempotency-Key": uuid.uuid4().hex}
    try:
        return platform.call("POST", "/mlops/training/upload", body, key)
    except (ConnectionResetError, TimeoutError):
        return platform.call("POST", "/mlops/training/upload", body, key)


def wait(platform: Platform, job_id: str) -> Any:
    """Poll the job until its end, and print its phases."""
    started = answered = time.monotonic()
    shown = ""
    while True:
        try:
            job = platform.call("GET", f"/mlops/training/jobs/{urllib.parse.quote(job_id)}")
            answered = time.monotonic()
        except (OSError, Refused) as error:
            if (isinstance(error, Refused) and error.status < 500) or time.monotonic() - answered > AWAY_SECONDS:
                raise
            time.sleep(1)
            continue
        doing = job["phase"] + (f", {job['reason'].replace('_', ' ')}" if job["reason"] else "")
        shown = progress(f"{time.monotonic() - started:6.1f} s  {doing}", doing, shown)
        if job["status"] in FINAL:
            progress_done()
            return job
        time.sleep(0.5)


def report(platform: Platform, job: dict[str, Any]) -> int:
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in job["phases"].items())
    if job["status"] != "completed":
        say(f"\n{job['status']}: {job['reason']}: {job['message'] or 'no message'}\nphases: {phases}")
        tail = job["logs"].rstrip().splitlines()[-30:]
        if tail:
            say("\n".join(["the last of its output:", *(f"  {line}" for line in tail)]))
        return 1
    show("job", job["job_id"])
    show("phases", phases)
    show("MLflow run", job["mlflow_run_id"])
    for name, value in sorted(job["metrics"].items()):
        show(f"metric {name}", f"{value:.6g}")
    if job["model_name"] and job["model_version"]:
        show("model", f"{job['model_name']} version {job['model_version']}")
        print("\nAsk it:\n" + curl(platform, job["model_name"], job["model_version"]))
    return 0


def curl(platform: Platform, name: str, version: str) -> str:
    """A command to paste, with inputs of the names and types of the model."""
    body = {"model_name": name, "model_version": version, "inputs": sample_inputs(platform, name, version)}
    return f"curl -X POST {platform.url}/mlops/inference -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"


def sample_inputs(platform: Platform, name: str, version: str) -> Any:
    path = f"/v2/models/{urllib.parse.quote(name)}/versions/{version}"
    try:
        # The Open Inference Protocol's description of the model. A replica may have to start first.
        wanted = platform.call("GET", path, headers={"X-Scale-Up-Timeout": "120"}, timeout=130)["inputs"]
    except (OSError, Refused) as error:
        say(f"the deployment does not say what it wants ({error}); put its columns into the command")
        return {"feature_0": [1.0, 2.0]}
    if len(wanted) == 1 and len(wanted[0]["shape"]) > 1 and wanted[0]["shape"][-1] > 1:
        return [[float(column) for column in range(wanted[0]["shape"][-1])]]
    return {column["name"]: SAMPLES.get(column["datatype"]) or _numbers(column["datatype"]) for column in wanted}


def progress(line: str, doing: str, shown: str) -> str:
    """One line that changes on a terminal, a line per phase elsewhere."""
    if sys.stderr.isatty():
        print(f"\r{line:<78.78}", end="", file=sys.stderr, flush=True)
    elif doing != shown:
        say(line)
    return doing


def progress_done() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)


def show(name: str, value: Any) -> None:
    print(f"{name:<22} {value}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _numbers(datatype: str) -> list[float] | list[int]:
    return [1.0, 2.0] if datatype.startswith("FP") else [1, 2]


def _problem(raw: bytes) -> dict[str, Any]:
    try:
        problem: Any = json.loads(raw)
        return dict(problem)
    except (ValueError, TypeError):
        return {"detail": raw[:300].decode("utf-8", "replace")}


if __name__ == "__main__":
    sys.exit(main())
