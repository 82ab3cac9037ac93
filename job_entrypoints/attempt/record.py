"""The attempt as the wrapper reads it: the content of attempt.json, and the attempt's files (docs/adr/0003)."""

from __future__ import annotations

import json
import os

from job_entrypoints.attempt.notes import read_small
from job_entrypoints.contract import (
    ATTEMPT_FILE,
    BATCH_INPUT,
    BATCH_WORK,
    CONTACT_SECONDS,
    DATA_FOLDER,
    FULL_NETWORK,
    NOTES_FILE,
    NOTES_FOLDER,
    ORIGIN_RAY,
    RESULT_FOLDER,
    RESULT_VARIABLE,
    SANDBOX,
    SOURCE_FOLDER,
    STOP_FILE,
    TEMPORARY_FOLDER,
    WORK_FOLDER,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from job_entrypoints.contract import AttemptRecord, DataRecord

_LONGEST_CAUSE = 500


class AttemptUnreadable(Exception):
    """attempt.json is missing or malformed."""


class Attempt:
    """Fields of attempt.json with their defaults (``contract.AttemptRecord``), and paths in the attempt's directory."""

    def __init__(self, directory: str, record: AttemptRecord | dict[str, Any]) -> None:
        self.directory = os.path.abspath(directory)
        try:
            self.job_id: str = record["job_id"]
            self.script: str = record["script"]
        except KeyError as error:
            raise AttemptUnreadable(f"{self.directory}/{ATTEMPT_FILE} lacks {error}") from error
        self.submission_id: str = record.get("submission_id") or os.path.basename(self.directory)
        self.number = int(record.get("attempt") or 1)
        self.args: list[str] = list(record.get("args") or ())
        self.environment: dict[str, str] = dict(record.get("environment") or {})
        self.masked: list[str] = [name for name in record.get("masked") or () if name in self.environment]
        self.experiment_name: str | None = record.get("experiment_name")
        self.mlflow_url: str | None = record.get("mlflow_url")
        self.autolog = bool(record.get("autolog", True))
        self.tags: dict[str, str] = dict(record.get("tags") or {})
        self.cpus = float(record.get("cpus") or 0)
        self.memory_bytes = int(record.get("memory_bytes") or 0)
        self.gpus = float(record.get("gpus") or 0)
        self.stop_grace_seconds = float(record.get("stop_grace_seconds", 10.0))
        self.max_log_bytes = int(record.get("max_log_bytes") or 64 * 2**20)
        self.max_processes = int(record.get("max_processes") or 0)
        self.max_scratch_bytes = int(record.get("max_scratch_bytes") or 0)
        self.nice = int(record.get("nice") or 0)
        self.is_sandboxed = record.get("isolation") == SANDBOX
        self.isolation_required = bool(record.get("isolation_required"))
        self.network: str = record.get("network") or FULL_NETWORK
        self.readable_paths: list[str] = list(record.get("readable_paths") or ())
        self.writable_paths: list[str] = list(record.get("writable_paths") or ())
        self.protected_paths: list[str] = list(record.get("protected_paths") or ())
        self.batch_directory: str | None = record.get("batch_directory")
        self.refused_ports: str = record.get("refused_ports") or ""
        first, count = record.get("job_users") or (0, 0)
        self.job_users = (int(first), int(count))
        self.environment_lock: list[str] = list(record.get("environment_lock") or ())
        self.in_overlay = bool(record.get("in_overlay"))
        self.contact_seconds = float(record.get("contact_seconds") or CONTACT_SECONDS)
        self.data: list[DataRecord] = list(record.get("data") or ())
        self.data_cache: str = record.get("data_cache") or self.path("..", DATA_FOLDER)
        self.data_cache_bytes = int(record.get("data_cache_bytes") or 0)
        self.makes_result = bool(record.get("makes_result"))
        self.data_folders: list[str] = []
        """Local copies of the data, once they are there."""
        self.data_variables: dict[str, str] = {}
        """Variables with their paths."""
        if self.makes_result:
            self.data_variables[RESULT_VARIABLE] = self.result_folder
        self.from_ray = record.get("origin") == ORIGIN_RAY
        self.command: str | None = record.get("command")
        self.python_path: list[str] = list(record.get("python_path") or ())
        self.script_path: str = record.get("script_path") or self.path(SOURCE_FOLDER, self.script)

    def path(self, *names: str) -> str:
        """A path inside the attempt's directory."""
        return os.path.join(self.directory, *names)

    def folders_to_read(self) -> list[str]:
        """Folders of the attempt that a sandboxed script may read."""
        return [self.path(SOURCE_FOLDER), *self._of_batch(BATCH_INPUT)]

    def folders_to_write(self) -> list[str]:
        """Folders of the attempt that a sandboxed script may write."""
        own = [self.working_directory, self.temporary_directory, self.path(NOTES_FOLDER)]
        return [*own, *([self.result_folder] if self.makes_result else []), *self._of_batch(BATCH_WORK)]

    def _of_batch(self, name: str) -> list[str]:
        if self.batch_directory is None:
            return []
        folder = os.path.join(self.batch_directory, name)
        return [folder] if os.path.isdir(folder) else []

    def hook_instructions(self) -> str:
        """JSON for the hooks in the script's process."""
        project = "" if self.from_ray else self.working_directory
        return json.dumps(
            {
                "autolog": self.autolog,
                "environment_lock": self.environment_lock,
                "project": project,
                "is_project": self.has_project,
                "notes": self.path(NOTES_FILE),
                "tracking_uri": self.mlflow_url,
                "sandboxed": self.is_sandboxed,
                **({"data": [{**each, "files": []} for each in self.data]} if self.data else {}),
            }
        )

    @property
    def has_project(self) -> bool:
        """The script came with the files beside it."""
        return self.from_ray or self.command is not None or os.path.dirname(self.script_path) != self.path(SOURCE_FOLDER)

    @property
    def working_directory(self) -> str:
        return os.getcwd() if self.from_ray else self.path(WORK_FOLDER)

    @property
    def result_folder(self) -> str:
        """Folder for files that become a version of a dataset."""
        return self.path(RESULT_FOLDER)

    @property
    def temporary_directory(self) -> str:
        """The script's TMPDIR."""
        return self.path(TEMPORARY_FOLDER)

    def stop_requested(self) -> bool:
        """True once the supervisor wants this attempt to end, or never to start."""
        return os.path.exists(self.path(STOP_FILE))

    def stop_cause(self) -> str | None:
        """The supervisor's reason to end the attempt, in words."""
        try:
            return read_small(self.path(STOP_FILE)).decode()[:_LONGEST_CAUSE].strip() or None
        except (OSError, ValueError):
            return None


def read_attempt(directory: str) -> Attempt:
    """Read the attempt that was prepared in ``directory``, and remove its variables from the file: they may be secrets.

    Raises:
        AttemptUnreadable: attempt.json is missing or malformed.
    """
    path = os.path.join(directory, ATTEMPT_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError) as error:
        raise AttemptUnreadable(f"{directory}/{ATTEMPT_FILE} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise AttemptUnreadable(f"{directory}/{ATTEMPT_FILE} is not an object")
    attempt = Attempt(directory, record)
    if attempt.environment:
        write_json(path, {**record, "environment": {}})
    return attempt


def write_json(path: str, record: Mapping[str, Any]) -> None:
    """Replace ``path`` in one step: readers see the old file or the new one, never half of one.

    A script may have removed or closed the directory, or put something else in its place or the file's. The record is written
    all the same.
    """
    directory = os.path.dirname(path)
    if os.path.lexists(directory) and not os.path.isdir(directory):
        os.unlink(directory)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if not os.access(directory, os.W_OK | os.X_OK):
        os.chmod(directory, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil  # Rare, and importing it costs every job's start some milliseconds.

        shutil.rmtree(path)
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(record, file)
    os.replace(temporary, path)


def remove_tree(path: str) -> None:
    """Remove a directory that a script has filled. The supervisor's retention removes what is left."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        # Not shutil: it fails on directories that are nested a thousand deep.
        os.waitpid(os.posix_spawn("/bin/rm", ["rm", "-rf", "--", path], os.environ), 0)
