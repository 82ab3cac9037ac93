"""The attempt directory: the wrapper's instructions, and the files that the wrapper leaves.

docs/internals/architecture.md describes the files; ``job_entrypoints.contract`` names them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from job_entrypoints.contract import (
    ATTEMPT_FILE,
    LIVE_USAGE_FILE,
    ORIGIN_RAY,
    OUTPUT_FILE,
    PROGRESS_FILE,
    RESULT_FOLDER,
    SANDBOX,
    SOURCE_FOLDER,
    STOP_FILE,
    TEMPORARY_FOLDER,
    WORK_FOLDER,
)
from raylift.domain.batches import order as batch_order
from raylift.domain.batches.order import BatchOrder
from raylift.domain.job import Isolation, Job, JobSpec
from raylift.domain.project import unpack
from raylift.engines.attempts.progress import LiveUsage, Progress, read_live_usage, read_progress
from raylift.engines.attempts.untrusted_file import read_plain
from raylift.settings import JobSettings, PlatformSettings

if TYPE_CHECKING:
    from job_entrypoints.contract import AttemptRecord

log = logging.getLogger(__name__)

_RECORD_LIMIT: Final = 2**23
"""Bytes of a JSON file here: attempt.json has the user's environment variables and arguments."""


class AttemptDirectory:
    """The directory of one attempt."""

    def __init__(self, attempts_dir: Path, submission_id: str) -> None:
        self.path = attempts_dir / submission_id

    def prepare(
        self,
        job: Job,
        script: bytes,
        *,
        mlflow_url: str,
        settings: JobSettings,
        project: bytes | None = None,
        run_tags: Mapping[str, str] | None = None,
        in_overlay: bool = False,
        platform: PlatformSettings | None = None,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        batch: BatchOrder | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Write the wrapper's instructions and the script. Safe to repeat until the attempt has started.

        Args:
            job: The job.
            script: The script's content.
            mlflow_url: Its tracking server.
            settings: Limits of jobs.
            project: Archive of the job's project. It becomes the working directory, and the script runs from there.
            run_tags: Tags of the job's runs besides its own.
            in_overlay: the node has the job's overlay. The wrapper refuses to run the script elsewhere.
            platform: Folders and ports that a sandboxed script cannot reach. None: there is no sandbox.
            variables: Environment variables of the platform for the script. They win over the user's.
            data: Fields about the job's datasets (services/datasets/job_data.py).
            secrets: Variables of the job's secrets. The wrapper masks their values in the output.
            batch: Order of a batch, which its script finds beside it.
        """
        source = self.path / SOURCE_FOLDER
        source.mkdir(parents=True, exist_ok=True)
        # The directory holds the user's environment variables.
        self.path.chmod(0o700)
        # Replaced in one step: after a repeated submission the attempt's wrapper may be reading it.
        draft = self.path / ".script"
        draft.write_bytes(script)
        draft.replace(source / job.spec.script_name)
        if batch is not None:
            (source / batch_order.FILE).write_bytes(batch.as_json())
        if project is not None:
            self._unpack(project)
        record = _attempt_record(job, self.path.name, mlflow_url, settings, secrets or {})
        record["python_path"] = [str(self.path / WORK_FOLDER / folder) for folder in job.spec.python_path]
        record["tags"] |= dict(run_tags or {})
        record["in_overlay"] = in_overlay
        record |= cast("AttemptRecord", data or {})
        if platform is not None and is_sandboxed(job.spec, settings):
            record |= _sandbox_record(job.spec, platform)
        if batch is not None:
            record["batch_directory"] = batch.directory
        record["environment"] |= dict(variables or {})
        if project is not None and job.spec.entrypoint is not None:
            record["script_path"] = str(self.path / WORK_FOLDER / job.spec.entrypoint)
        self._write_record(record)

    def remove_variables(self) -> bool:
        """Remove environment variables from the wrapper's instructions, where the wrapper has not done so. Safe to repeat."""
        try:
            content = read_plain(self.path / ATTEMPT_FILE, _RECORD_LIMIT)
            record: Any = json.loads(content) if content is not None else None
            if not isinstance(record, dict) or not record.get("environment"):
                return False
            self._write_record(cast("AttemptRecord", {**record, "environment": {}}))
        except (ValueError, OSError, RecursionError) as error:
            # The script has damaged the file or the directory.
            log.warning("%s: its variables cannot be removed: %s", self.path, error)
            return False
        return True

    def request_stop(self, cause: str = "") -> None:
        """Ask the wrapper to end the script, or not to start it.

        Works while Ray still holds the attempt back, and before the attempt is prepared. The script's log shows ``cause``.
        """
        # The script may have replaced the directory. A job that cannot be stopped would never end.
        if self.path.is_symlink() or self.path.is_file():
            self.path.unlink()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        stop = self.path / STOP_FILE
        if stop.is_symlink():
            stop.unlink()
        stop.touch()
        if cause:
            _write_into(stop, cause)

    def stop_requested_at(self) -> datetime | None:
        """Time of the last request to stop."""
        try:
            requested_at = (self.path / STOP_FILE).lstat().st_mtime
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None  # Also if the script has damaged the directory. The next request mends it.
        return datetime.fromtimestamp(requested_at, UTC)

    def progress(self) -> Progress | None:
        """The wrapper's last report; None before the script started. Raises ValueError if it is malformed."""
        content = read_plain(self.path / PROGRESS_FILE, _RECORD_LIMIT)
        return None if content is None else read_progress(content)

    def live_usage(self) -> LiveUsage | None:
        """Present usage of the script; None where it does not run, or the record is malformed."""
        content = read_plain(self.path / LIVE_USAGE_FILE, _RECORD_LIMIT)
        try:
            return None if content is None else read_live_usage(content)
        except ValueError:  # The script may have written it. It is only shown, so no error is needed.
            return None

    def record_from_ray(self) -> AttemptRecord | None:
        """The record that the wrapper of a job handed straight to Ray wrote; None for the platform's own."""
        content = read_plain(self.path / ATTEMPT_FILE, _RECORD_LIMIT)
        if content is None:
            return None
        record: AttemptRecord = json.loads(content)
        return record if record.get("origin") == ORIGIN_RAY else None

    def source(self, script_name: str, limit: int) -> bytes | None:
        """The script as it was submitted; None if it is gone. Raises ValueError if it is larger than ``limit`` bytes."""
        return read_plain(self.path / SOURCE_FOLDER / script_name, limit)

    def output(self) -> Path:
        """The file of the script's output. It may not exist yet."""
        return self.path / OUTPUT_FILE

    def result(self) -> Path:
        """The folder of files that become a version of a dataset. It may not exist, and have anything in it."""
        return self.path / RESULT_FOLDER

    def remove_result(self) -> None:
        """Remove the files that the platform has kept as a dataset. Safe to repeat."""
        _remove_tree(self.result())

    def changed_at(self) -> float:
        """Time at which a file was last made or replaced in it, in seconds since the epoch; 0 if it is gone."""
        try:
            return self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def remove(self) -> None:
        """Remove it, even if its script changed permissions in it. Safe to repeat."""
        _remove_tree(self.path)

    def remove_working_files(self) -> bool:
        """Remove the working directory and temporary files, not the log. Returns true if there were any."""
        found = [path for path in (self.path / WORK_FOLDER, self.path / TEMPORARY_FOLDER, self.result()) if path.exists()]
        for path in found:
            _remove_tree(path)
        return bool(found)

    def _unpack(self, project: bytes) -> None:
        """Unpack a project, whole or not at all, and once: a script that has started may have changed its files."""
        if (self.path / WORK_FOLDER).exists():
            return
        draft = self.path / f".{WORK_FOLDER}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        for file in unpack(project):
            target = draft / file.path
            if file.is_directory:
                target.mkdir(parents=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            if file.executable:
                target.chmod(0o755)
        draft.rename(self.path / WORK_FOLDER)

    def _write_record(self, record: AttemptRecord) -> None:
        draft = self.path / f".{ATTEMPT_FILE}"
        draft.unlink(missing_ok=True)  # The script may have put a link there.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(record, file)
        draft.replace(self.path / ATTEMPT_FILE)


def attempts_on_disk(attempts_dir: Path) -> Iterator[str]:
    """The names of all attempts' directories. Other entries there begin with a dot."""
    if not attempts_dir.exists():
        return
    with os.scandir(attempts_dir) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield entry.name


def _write_into(path: Path, text: str) -> None:
    """Write if possible. The script may have put a pipe or a directory in the file's place; this never blocks."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        log.info("%s cannot be written: %s", path, error)
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _remove_tree(path: Path) -> None:
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:
        log.info("%s is nested too deeply for shutil", path)
    if path.exists():
        # Scripts may remove their own right to write.
        for command in (["chmod", "-R", "u+rwX", "--", str(path)], ["rm", "-rf", "--", str(path)]):
            subprocess.run(command, check=False, capture_output=True)
    if path.exists():
        log.warning("%s cannot be removed completely", path)


def is_sandboxed(spec: JobSpec, settings: JobSettings) -> bool:
    """Return True where the wrapper has to confine the job's script."""
    return spec.isolation is Isolation.SANDBOX and settings.isolation != "none"


def _sandbox_record(spec: JobSpec, platform: PlatformSettings) -> AttemptRecord:
    settings = platform.jobs
    return cast(
        "AttemptRecord",
        {
            "isolation": SANDBOX,
            "isolation_required": settings.isolation == "required",
            "network": spec.network.value,
            "readable_paths": [str(path) for path in (*settings.readable_paths, *_of_models(spec, platform))],
            "writable_paths": [str(path) for path in settings.writable_paths],
            "protected_paths": [str(path) for path in platform.protected_paths],
            "refused_ports": platform.refused_ports,
            "job_users": [settings.first_user, settings.users],
        },
    )


def _of_models(spec: JobSpec, platform: PlatformSettings) -> tuple[Path, ...]:
    """Paths that models may read: a batch loads one."""
    return tuple(path.expanduser() for path in platform.serving.readable_paths) if spec.batch is not None else ()


def _attempt_record(
    job: Job, submission_id: str, mlflow_url: str, settings: JobSettings, secrets: Mapping[str, str]
) -> AttemptRecord:
    spec = job.spec
    return {
        "job_id": job.job_id,
        "submission_id": submission_id,
        "attempt": job.attempt,
        "script": spec.script_name,
        "script_sha256": spec.script_sha256,
        "command": spec.command,
        "args": list(spec.args),
        "environment": {**secrets, **spec.environment},
        "masked": [name for name in secrets if name not in spec.environment],
        "experiment_name": spec.experiment_name,
        "model_name": spec.model_name,
        "mlflow_url": mlflow_url,
        "autolog": spec.autolog,
        "tags": dict(spec.tags),
        "cpus": spec.resources.cpus,
        "memory_bytes": spec.resources.memory_bytes,
        "gpus": spec.resources.gpus,
        "environment_lock": list(job.environment_lock or ()),
        "makes_result": spec.output_dataset is not None and spec.batch is None,
        "stop_grace_seconds": settings.stop_grace_seconds,
        "contact_seconds": settings.contact_seconds,
        "max_log_bytes": settings.max_log_bytes,
        "max_processes": settings.max_processes,
        "max_scratch_bytes": settings.max_scratch_bytes,
        "nice": settings.nice,
    }
