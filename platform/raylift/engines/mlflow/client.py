"""One MLflow client per tracking server, and MLflow's failures told as the platform's."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raylift.domain.errors import EngineUnavailable, PlatformError

T = TypeVar("T")

_ABSENT: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_UNAVAILABLE: Final = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
"""Codes of a server that fails, and of MLflow's client when no server answers."""

_LARGEST: Final = sys.float_info.max

CLIENT_ENVIRONMENT: Final = {
    # MLflow's client would otherwise wait about four minutes for a server that is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # By a name of ours, the raylet's first step of a worker's start (ray_internals/setup_worker.py) knows it.
    "RAYLIFT_PLATFORM_PROCESS": "true",
}
"""Environment of every platform process that talks to MLflow."""


def connect(mlflow_url: str) -> MlflowClient:
    """A client of the tracking server and the registry at ``mlflow_url``. No call is made yet."""
    return MlflowClient(tracking_uri=mlflow_url, registry_uri=mlflow_url)


class MlflowRefused(PlatformError):
    """MLflow understood the call and refused it. Carries ``error_code``, MLflow's own."""

    code = "mlflow_refused"

    @property
    def is_absence(self) -> bool:
        """Whether the thing asked for does not exist."""
        return self.facts["error_code"] in _ABSENT

    @property
    def is_invalid(self) -> bool:
        """Whether MLflow cannot even look: it says so of a version that is no number, an unknown alias, a name with a slash."""
        return self.facts["error_code"] == "INVALID_PARAMETER_VALUE"

    @property
    def is_duplicate(self) -> bool:
        """Whether the thing to be made exists already."""
        return self.facts["error_code"] == "RESOURCE_ALREADY_EXISTS"


@contextmanager
def mlflow_errors() -> Generator[None]:
    """Tell MLflow's failures as the platform's.

    Raises:
        EngineUnavailable: MLflow does not answer, or fails itself.
        MlflowRefused: it answers, and says no.
    """
    try:
        yield
    except MlflowException as error:
        if error.error_code in _UNAVAILABLE:
            raise EngineUnavailable(f"MLflow does not answer: {error.message}") from error
        raise MlflowRefused(f"MLflow refused: {error.message}", error_code=error.error_code) from error


def every_page(fetch: Callable[[str | None], Any]) -> Iterator[Any]:
    """All items of a paged MLflow search; ``fetch`` is given the page token."""
    token: str | None = None
    while True:
        page = fetch(token)
        yield from page
        token = page.token
        if not token:
            return


def quoted(text: str) -> str:
    """A string literal of MLflow's filter language."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def moment(milliseconds: int) -> datetime:
    """MLflow's epoch milliseconds as a UTC time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def metrics_of(run: Any) -> dict[str, float]:
    """The newest value of each metric of a run, as it was logged.

    MLflow's SQL store keeps an infinity as the largest number that a double holds, with which a loss that blew up would be the
    best of a sweep.
    """
    return {
        name: math.copysign(math.inf, value) if abs(value) == _LARGEST else value for name, value in run.data.metrics.items()
    }
