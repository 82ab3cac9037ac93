"""Compares two jobs. Values of variables are compared here and never leave the platform."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from raylift.domain.datasets.dataset import references
from raylift.domain.job import Job, Resources
from raylift.domain.project import unpack
from raylift.store import Store

Change = Literal["added", "removed", "changed"]

_SETTINGS: Final = (
    "script_name",
    "entrypoint",
    "command",
    "python_path",
    "experiment_name",
    "model_name",
    "secrets",
    "requirements_source",
    "torch_backend",
    "timeout_seconds",
    "max_retries",
    "priority",
    "autolog",
    "deploy",
    "register",
)
_MAX_DIFF_LINES: Final = 10_000
"""Limit for both scripts together: a longer diff takes too long for a request."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs. None: the job does not have it."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class OnlyIn:
    """Items that only one of two lists has."""

    first: Sequence[str] = ()
    second: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between two jobs."""

    first: str
    second: str
    script: str | None
    project: Mapping[str, Change]
    data: Sequence[Difference]
    """Versions of datasets by alias, ``name@3``."""
    requirements: OnlyIn
    environment_lock: OnlyIn
    args: Difference | None
    params: Sequence[Difference]
    environment: Mapping[str, Change]
    resources: Sequence[Difference]
    settings: Sequence[Difference]
    metrics: Sequence[Difference]

    @property
    def same(self) -> bool:
        """True where both jobs ask for the same. Metrics are results and do not count."""
        lists = (self.requirements, self.environment_lock)
        asked = (self.script, self.project, self.data, self.args, self.params, self.environment, self.resources, self.settings)
        return not any(asked) and not any(part.first or part.second for part in lists)


class ComparisonService:
    """Compares jobs as the store has them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def compare(self, first_id: str, second_id: str) -> Comparison:
        """Return the differences of the second job. Raises JobNotFound."""
        first, second = self._store.jobs.get(first_id), self._store.jobs.get(second_id)
        a, b = first.spec, second.spec
        return Comparison(
            first.job_id,
            second.job_id,
            script=self._script(first, second),
            project=self._project(a.project_sha256, b.project_sha256),
            data=list(_differences(references(a.data), references(b.data))),
            requirements=_only_in(a.requirements, b.requirements),
            environment_lock=_only_in(_lock(first), _lock(second)),
            args=None if a.args == b.args else Difference("args", list(a.args), list(b.args)),
            params=list(_differences(a.params, b.params)),
            environment=_changes(_secrets(first), _secrets(second)),
            resources=list(_differences(_amounts(a.resources), _amounts(b.resources))),
            settings=list(_differences(_settings(first), _settings(second))),
            metrics=list(_differences(first.metrics, second.metrics)),
        )

    def _script(self, first: Job, second: Job) -> str | None:
        if first.spec.script_sha256 == second.spec.script_sha256:
            return None
        before, after = self._lines(first), self._lines(second)
        if len(before) + len(after) > _MAX_DIFF_LINES:
            return f"The scripts differ; together they have more than {_MAX_DIFF_LINES} lines, too many to show how.\n"
        return "".join(_terminated(difflib.unified_diff(before, after, _title(first), _title(second))))

    def _lines(self, job: Job) -> list[str]:
        return self._store.jobs.script(job.spec.script_sha256).decode("utf-8", "replace").splitlines(keepends=True)

    def _project(self, first: str | None, second: str | None) -> dict[str, Change]:
        return {} if first == second else _changes(self._files(first), self._files(second))

    def _files(self, sha256: str | None) -> dict[str, object]:
        if sha256 is None:
            return {}
        return {
            file.path: (hashlib.sha256(file.content).digest(), file.executable)
            for file in unpack(self._store.jobs.project(sha256))
        }


def _title(job: Job) -> str:
    return f"{job.job_id}/{job.spec.entrypoint or job.spec.script_name}"


def _lock(job: Job) -> Sequence[str]:
    """Return the packages beyond the base environment; before admission, those that a rerun will have."""
    return (job.spec.environment_lock if job.environment_lock is None else job.environment_lock) or ()


def _terminated(lines: Iterator[str]) -> Iterator[str]:
    return (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _changes(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, Change]:
    return {name: change for name in sorted({*first, *second}) if (change := _change(name, first, second))}


def _change(name: str, first: Mapping[str, object], second: Mapping[str, object]) -> Change | None:
    if name not in second:
        return "removed"
    if name not in first:
        return "added"
    return None if first[name] == second[name] else "changed"


def _only_in(first: Sequence[str], second: Sequence[str]) -> OnlyIn:
    return OnlyIn([item for item in first if item not in second], [item for item in second if item not in first])


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if a != b and not (_is_nan(a) and _is_nan(b)):
            yield Difference(name, a, b)


def _amounts(wanted: Resources) -> dict[str, Any]:
    workers = {} if wanted.workers is None else asdict(wanted.workers)
    return {
        **{name: value for name, value in asdict(wanted).items() if name != "workers"},
        **{f"workers.{name}": value for name, value in workers.items()},
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _settings(job: Job) -> dict[str, Any]:
    return {name: getattr(job.spec, name) for name in _SETTINGS} | {
        f"tags.{name}": value for name, value in job.spec.tags.items()
    }


def _secrets(job: Job) -> dict[str, str]:
    """Return the variables whose values are not shown: all except parameters."""
    return {name: value for name, value in job.spec.environment.items() if name not in job.spec.params}
