r"""Prepares the attempt of a script that was handed straight to Ray.

    ray job submit --working-dir . -- \
        python -m job_entrypoints.train --script my_model.py --model my_model -- --epochs 3

No supervisor has prepared it. The wrapper makes the attempt's directory itself, named after the Ray submission, before the
script starts. The supervisor finds it there and adopts the job.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from job_entrypoints.attempt.record import Attempt, AttemptUnreadable, write_json
from job_entrypoints.contract import (
    ATTEMPT_FILE,
    ATTEMPTS_DIR_VARIABLE,
    JOB_ID_VARIABLE,
    ORIGIN_RAY,
    RAY_JOB_CONFIG_VARIABLE,
    SOURCE_FOLDER,
    WRAPPER_MODULE,
    adopted_job_id,
    submission_in,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.contract import AttemptRecord


def prepare_attempt(arguments: list[str]) -> Attempt:
    """Make the attempt's directory from the command line.

    Raises:
        AttemptUnreadable: there is no such script, or a Raylift job runs this as its command.
    """
    job_id = os.environ.get(JOB_ID_VARIABLE)
    if job_id:
        raise AttemptUnreadable(
            f"this runs as Raylift's job {job_id} already: run the script itself (python my_model.py), and choose the model "
            "with the metadata key raylift.model_name"
        )
    options = _parser().parse_args(arguments)
    script = Path(options.script).absolute()
    if not script.is_file():
        raise AttemptUnreadable(f"there is no script {script}")
    directory = _directory()
    record = _record(options, script, directory.name)
    source = directory / SOURCE_FOLDER
    source.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(script, source / script.name)
    write_json(str(directory / ATTEMPT_FILE), record)
    return Attempt(str(directory), record)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {WRAPPER_MODULE}",
        description="Run a training script as a Raylift job that Ray was handed directly.",
    )
    parser.add_argument("--script", required=True, help="the script, relative to Ray's working directory")
    parser.add_argument("--model", help="register the model it logs under this name")
    parser.add_argument("--experiment", help="MLflow experiment of its runs (default: the model's name, else the script's)")
    parser.add_argument("--no-autolog", dest="autolog", action="store_false", help="leave mlflow.autolog off")
    parser.add_argument("--no-deploy", dest="deploy", action="store_false", help="register the model, but do not serve it")
    parser.add_argument("--arg", dest="args", action="append", default=[], help="an argument of the script; may be repeated")
    parser.add_argument("--cpus", type=float, default=0.0, help="as given to Ray; sizes thread pools")
    parser.add_argument("--memory", type=int, default=0, help="bytes, as given to Ray; the script is held to them")
    parser.add_argument("rest", nargs="*", metavar="-- ARGUMENT", help="arguments of the script")
    return parser


def _record(options: argparse.Namespace, script: Path, submission_id: str) -> AttemptRecord:
    return {
        "job_id": adopted_job_id(submission_id),
        "submission_id": submission_id,
        "attempt": 1,
        "origin": ORIGIN_RAY,
        "script": script.name,
        "script_path": str(script),
        "script_sha256": hashlib.sha256(script.read_bytes()).hexdigest(),
        "args": [*options.args, *options.rest],
        "environment": {},
        "experiment_name": options.experiment or options.model or script.stem,
        "model_name": options.model,
        "mlflow_url": os.environ.get("MLFLOW_TRACKING_URI"),
        "autolog": options.autolog,
        "deploy": options.deploy,
        "tags": {},
        "cpus": options.cpus,
        "memory_bytes": options.memory,
        "gpus": 0.0,
        "environment_lock": [],
    }


def _directory() -> Path:
    submission_id = _submission_id()
    root = os.environ.get(ATTEMPTS_DIR_VARIABLE)
    if root and submission_id:
        directory = Path(root, submission_id)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory
    directory = Path(tempfile.mkdtemp(prefix="raylift-"))
    lacking = f"{ATTEMPTS_DIR_VARIABLE} is not set" if not root else "this is not a Ray job"
    print(  # noqa: T201 - stderr is Ray's job log
        f"[raylift] {lacking}: the script runs, but Raylift will not see it, register its model or serve it.\n"
        f"[raylift] its record: {directory}",
        file=sys.stderr,
        flush=True,
    )
    return directory


def _submission_id() -> str | None:
    name = submission_in(os.environ.get(RAY_JOB_CONFIG_VARIABLE, ""))
    # It becomes a directory's name.
    return name if name and name == Path(name).name and name not in {".", ".."} else None
