"""The attempt directory: what the supervisor gives the wrapper, and what the wrapper leaves.

docs/internals/architecture.md describes the files. The wrapper's side is ``job_entrypoints.attempt.record``.
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
from typing import Any, Final

from raylift.domain.job import Job
from raylift.domain.project import unpack
from raylift.engines.attempts.progress import Progress, read_progress
from raylift.engines.attempts.untrusted_file import read_plain
from raylift.settings import JobSettings

log = logging.getLogger(__name__)

_ATTEMPT: Final = "attempt.json"
_PROGRESS: Final = "progress.json"
_STOP: Final = "stop"
_OUTPUT: Final = "output.log"
_RECORD_LIMIT: Final = 2**20
"""Bytes of a JSON file here: attempt.json has the user's environment variables and arguments."""
_WORK: Final = "work"
_TEMPORARY: Final = "tmp"


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
    ) -> None:
        """Write everything the wrapper needs. May be repeated until the attempt has started.

        ``project`` is the archive of the job's project: it becomes the working directory, and the script runs from there.
        ``run_tags`` are those of the job's runs besides its own tags.
        ``in_overlay``: Ray is told to start the wrapper in the job's overlay; it refuses to run the script elsewhere.
        """
        source = self.path / "source"
        source.mkdir(parents=True, exist_ok=True)
        # The directory holds the user's environment variables.
        self.path.chmod(0o700)
        # Replaced in one step: a repeated submission may find the attempt's wrapper reading it.
        draft = self.path / ".script"
        draft.write_bytes(script)
        draft.replace(source / job.spec.script_name)
        if project is not None:
            self._unpack(project)
        fields = _attempt_fields(job, self.path.name, mlflow_url, settings)
        fields["python_path"] = [str(self.path / _WORK / folder) for folder in job.spec.python_path]
        fields["tags"] |= dict(run_tags or {})
        fields["in_overlay"] = in_overlay
        if project is not None and job.spec.entrypoint is not None:
            fields["script_path"] = str(self.path / _WORK / job.spec.entrypoint)
        self._write_private(_ATTEMPT, fields)

    def request_stop(self, cause: str = "") -> None:
        """Tell the wrapper to end the script, or not to start it. Works while Ray still holds the attempt back.

        Also before the attempt was prepared: whoever submits it late starts nothing. ``cause`` is shown in the script's log.
        """
        # Whatever its script made of the directory: a job that cannot be told to stop would never be over.
        if self.path.is_symlink() or self.path.is_file():
            self.path.unlink()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        stop = self.path / _STOP
        if stop.is_symlink():
            stop.unlink()
        stop.touch()
        if cause:
            _write_into(stop, cause)

    def stop_requested_at(self) -> datetime | None:
        """When the wrapper was last told to stop."""
        try:
            told_at = (self.path / _STOP).lstat().st_mtime
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None  # Or its script has spoilt the directory: to tell it to stop mends that.
        return datetime.fromtimestamp(told_at, UTC)

    def progress(self) -> Progress | None:
        """What the wrapper last said; None before the script started. Raises ValueError where that is nothing it would say."""
        content = read_plain(self.path / _PROGRESS, _RECORD_LIMIT)
        return None if content is None else read_progress(content)

    def submitted_by_hand(self) -> dict[str, Any] | None:
        """What the wrapper of a job that was handed straight to Ray wrote about it; None for the platform's own."""
        content = read_plain(self.path / _ATTEMPT, _RECORD_LIMIT)
        if content is None:
            return None
        fields: dict[str, Any] = json.loads(content)
        return fields if fields.get("origin") == "ray" else None

    def source(self, script_name: str, limit: int) -> bytes | None:
        """The script as it was given; None where it is gone. Raises ValueError when it is larger than ``limit`` bytes."""
        return read_plain(self.path / "source" / script_name, limit)

    def output(self) -> Path:
        """The file that the script's output is written to as it comes; it may not exist yet."""
        return self.path / _OUTPUT

    def changed_at(self) -> float:
        """When a file was last made or replaced in it, in seconds since the epoch; 0 when it is gone."""
        try:
            return self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def remove(self) -> None:
        """Everything, whatever its script made of it. Safe to repeat."""
        _remove_tree(self.path)

    def remove_scratch(self) -> bool:
        """What the script worked in, but not its log. Returns whether there was anything."""
        found = [path for path in (self.path / _WORK, self.path / _TEMPORARY) if path.exists()]
        for path in found:
            _remove_tree(path)
        return bool(found)

    def _unpack(self, project: bytes) -> None:
        """Whole or not at all, and once: what a script that has started made of its files is left alone."""
        if (self.path / _WORK).exists():
            return
        draft = self.path / f".{_WORK}"
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
        draft.rename(self.path / _WORK)

    def _write_private(self, name: str, fields: dict[str, Any]) -> None:
        draft = self.path / f".{name}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(fields, file)
        draft.replace(self.path / name)


def attempts_on_disk(attempts_dir: Path) -> Iterator[str]:
    """The names of all attempts' directories; what else lies there begins with a dot."""
    if not attempts_dir.exists():
        return
    with os.scandir(attempts_dir) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield entry.name


def _write_into(path: Path, text: str) -> None:
    """Best effort: the script may have put a pipe or a directory in the file's place, which must not hold anything up."""
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
        log.info("%s is deeper than Python can follow", path)
    if path.exists():
        # Scripts also take away their own right to write.
        for command in (["chmod", "-R", "u+rwX", "--", str(path)], ["rm", "-rf", "--", str(path)]):
            subprocess.run(command, check=False, capture_output=True)
    if path.exists():
        log.warning("%s cannot be removed whole", path)


def _attempt_fields(job: Job, submission_id: str, mlflow_url: str, settings: JobSettings) -> dict[str, Any]:
    spec = job.spec
    return {
        "job_id": job.job_id,
        "submission_id": submission_id,
        "attempt": job.attempt,
        "script": spec.script_name,
        "script_sha256": spec.script_sha256,
        "command": spec.command,
        "args": list(spec.args),
        "environment": dict(spec.environment),
        "experiment_name": spec.experiment_name,
        "model_name": spec.model_name,
        "mlflow_url": mlflow_url,
        "autolog": spec.autolog,
        "tags": dict(spec.tags),
        "cpus": spec.resources.cpus,
        "memory_bytes": spec.resources.memory_bytes,
        "gpus": spec.resources.gpus,
        "environment_lock": list(job.environment_lock or ()),
        "stop_grace_seconds": settings.stop_grace_seconds,
        "max_log_bytes": settings.max_log_bytes,
        "max_processes": settings.max_processes,
        "max_scratch_bytes": settings.max_scratch_bytes,
        "nice": settings.nice,
    }
