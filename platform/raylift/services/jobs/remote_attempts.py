"""Attempts on nodes that do not see the state directory: their bundles and their messages (docs/adr/0043)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from job_entrypoints.contract import ATTEMPT_OVER, LOG_PORTION_BYTES, attempt_token
from raylift.domain.errors import (
    Conflict,
    DatasetNotFound,
    FieldError,
    InvalidRequest,
    JobNotFound,
    Unauthenticated,
)
from raylift.domain.identifiers import submission_id
from raylift.domain.job import Job, JobState, Origin
from raylift.domain.project import UnsafePath, checked_path
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.mirror import Mirror
from raylift.services.datasets.datasets import DatasetService
from raylift.services.ports import Clock, utc_now
from raylift.settings import PlatformSettings
from raylift.store import Store

MAX_MESSAGE_BYTES: Final = LOG_PORTION_BYTES + 2**20
_CLOCK_ERROR_SECONDS: Final = 5.0
"""Difference of clocks that is left as it is: a message takes some time, too."""
_UNSAFE_NAME: Final = "a name that no dataset takes"
_TIMES: Final = ("script_started_at", "finished_at", "at")
_RUNNING: Final = frozenset({JobState.STARTING, JobState.SCRIPT})


class AttemptOver(Conflict):
    """The attempt has ended, or the job has gone on to another: what it does no longer counts."""

    code = ATTEMPT_OVER


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a courier's message."""

    have: int
    """Bytes of the log that the platform has."""
    stop: str | None
    """Cause of a stop, perhaps empty; None while the script may run."""


class RemoteAttempts:
    """Serves the wrappers of nodes that do not see the attempts' directories."""

    def __init__(self, store: Store, settings: PlatformSettings, datasets: DatasetService, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._datasets = datasets
        self._clock = clock
        self._attempts_dir = settings.attempts_dir
        self._token_file = settings.ray_token_file
        self._max_log_bytes = settings.jobs.max_log_bytes
        self._max_result_bytes = settings.datasets.max_bytes

    def bundle(self, submission: str, token: str, host: str) -> Iterator[bytes]:
        """Return the pieces of the attempt's bundle, for a wrapper on ``host``.

        Raises:
            Unauthenticated: the token is not the attempt's.
            AttemptOver: it does not count any more, or its script has started.
        """
        job = self._present(submission, token)
        if job.state is not JobState.STARTING:
            raise AttemptOver(f"The script of {submission} has started; its bundle is closed.", job_id=job.job_id)
        mirror = self._mirror(submission)
        mirror.begin(host)
        return mirror.bundle()

    def data(self, submission: str, token: str, alias: str, *, index: int, offset: int) -> Iterator[bytes]:
        """Return the bytes of a file of the attempt's data, from ``offset`` on.

        Raises:
            Unauthenticated: the token is not the attempt's.
            AttemptOver: it does not count any more, or its script has started.
            DatasetNotFound: the job has no such data.
            EngineUnavailable: the file cannot be read now.
        """
        job = self._present(submission, token)
        if job.state is not JobState.STARTING:
            raise AttemptOver(f"The script of {submission} has started; its data is closed.", job_id=job.job_id)
        wanted = next((each for each in job.spec.data if each.alias == alias), None)
        if wanted is None:
            raise DatasetNotFound(f"{job.job_id} has no data {alias!r}.", job_id=job.job_id)
        files = self._store.datasets.files(job.spec.workspace, wanted.name, wanted.version)
        if not 0 <= index < len(files):
            raise DatasetNotFound(f"{wanted.name}@{wanted.version} has {len(files)} files.", job_id=job.job_id)
        return self._datasets.stream(job.spec.workspace, files[index], offset)

    def report(self, submission: str, token: str, body: bytes) -> Answer:
        """Take a message. Raises as ``bundle``, and InvalidRequest for a body of another form."""
        job = self._present(submission, token)
        message = _parsed(body)
        mirror = self._mirror(submission)
        if mirror.contact() is None:
            raise AttemptOver(f"No node has fetched {submission}.", job_id=job.job_id)
        have = mirror.take(message.offset, message.log, *message.on_clock(self._clock().timestamp()))
        return Answer(have, mirror.stop())

    def result(self, submission: str, token: str, path: str, offset: int, content: bytes, *, is_file: bool) -> int:
        """Take bytes of a file that the script has made, and return how many of it are here. Raises as ``bundle``.

        What no dataset takes is noted: the supervisor refuses it when the attempt has ended.
        """
        job = self._present(submission, token)
        if job.spec.output_dataset is None:
            raise InvalidRequest.of(FieldError("path", f"is of {job.job_id}, which makes no dataset"))
        mirror = self._mirror(submission)
        if mirror.contact() is None:
            raise AttemptOver(f"No node has fetched {submission}.", job_id=job.job_id)
        try:
            clean = checked_path(path)
        except UnsafePath:
            clean, is_file = _UNSAFE_NAME, False
        if not is_file:
            mirror.refuse_result(clean)
            return offset + len(content)
        return mirror.take_result(clean, offset, content, self._max_result_bytes)

    def _present(self, submission: str, token: str) -> Job:
        """Return the job whose present attempt this is, while its script may run."""
        if not hmac.compare_digest(token.encode(), attempt_token(self._key(), submission).encode()):
            raise Unauthenticated("The token is not the attempt's: the node must have the Ray token of this platform.")
        try:
            job = self._store.jobs.get(submission.rpartition("-a")[0])
        except JobNotFound as error:
            raise AttemptOver(f"No job has the attempt {submission}.") from error
        is_present = submission == job.submission_id == submission_id(job.job_id, job.attempt)
        if not is_present or job.state not in _RUNNING or job.spec.origin is not Origin.PLATFORM:
            raise AttemptOver(f"{submission} no longer counts: {job.job_id} is {job.state}, attempt {job.attempt}.")
        return job

    def _key(self) -> str:
        if self._token_file is None:
            raise Unauthenticated("This platform's Ray has no token, which attempts on other nodes need. Start it with one.")
        return self._token_file.read_text(encoding="ascii").strip()

    def _mirror(self, submission: str) -> Mirror:
        return Mirror(AttemptDirectory(Path(self._attempts_dir), submission), self._max_log_bytes)


@dataclass(frozen=True, slots=True)
class _Message:
    sent_at: float
    offset: int
    progress: dict[str, Any] | None
    usage: dict[str, Any] | None
    log: bytes

    def on_clock(self, now: float) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return progress and usage with times of the clock that shows ``now``: the node's may be wrong."""
        error = now - self.sent_at
        if abs(error) < _CLOCK_ERROR_SECONDS:
            return self.progress, self.usage
        return _moved(self.progress, error), _moved(self.usage, error)


def _moved(record: dict[str, Any] | None, seconds: float) -> dict[str, Any] | None:
    if record is None:
        return None
    times = {name: record[name] for name in _TIMES if isinstance(record.get(name), int | float)}
    return {**record, **{name: value + seconds for name, value in times.items()}}


def _parsed(body: bytes) -> _Message:
    head, _, log = body.partition(b"\n")
    try:
        message: Any = json.loads(head)
        offset, sent_at = message["offset"], message["sent_at"]
        progress, usage = message.get("progress"), message.get("usage")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest.of(FieldError("body", "must begin with a line of JSON with sent_at and offset")) from error
    if type(offset) is not int or offset < 0:
        raise InvalidRequest.of(FieldError("offset", "must be a number of bytes, 0 or more"))
    if not isinstance(sent_at, int | float):
        raise InvalidRequest.of(FieldError("sent_at", "must be a time in seconds since the epoch"))
    for name, record in (("progress", progress), ("usage", usage)):
        if record is not None and not isinstance(record, dict):
            raise InvalidRequest.of(FieldError(name, "must be an object or null"))
    return _Message(sent_at, offset, cast("dict[str, Any] | None", progress), cast("dict[str, Any] | None", usage), log)
