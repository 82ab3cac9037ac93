"""Connects to MLflow, and translates its errors into the platform's."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raylift.domain.errors import EngineUnavailable, PlatformError

T = TypeVar("T")

ABSENT: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
DUPLICATE: Final = frozenset({"RESOURCE_ALREADY_EXISTS"})
_UNAVAILABLE: Final = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
"""Codes of a failing server, and of MLflow's client when no server answers."""

_LARGEST: Final = sys.float_info.max

CLIENT_ENVIRONMENT: Final = {
    # MLflow's client would otherwise wait about four minutes for a server that is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Marks the platform's processes for the raylet's first step of a worker's start (ray_internals/setup_worker.py).
    "RAYLIFT_PLATFORM_PROCESS": "true",
}
"""Environment of every platform process that talks to MLflow."""


def connect(mlflow_url: str) -> MlflowClient:
    """Make a client of the tracking server and the registry at ``mlflow_url``. Makes no call yet."""
    return MlflowClient(tracking_uri=mlflow_url, registry_uri=mlflow_url)


class MlflowRefused(PlatformError):
    """MLflow understood the call and refused it. Carries ``error_code``, MLflow's own."""

    code = "mlflow_refused"

    @property
    def is_absence(self) -> bool:
        """True if the object does not exist."""
        return self.facts["error_code"] in ABSENT

    @property
    def is_invalid(self) -> bool:
        """True if MLflow cannot search for it: a version that is no number, an unknown alias, a name with a slash."""
        return self.facts["error_code"] == "INVALID_PARAMETER_VALUE"


@contextmanager
def mlflow_errors(*, ignore: Collection[str] = ()) -> Generator[None]:
    """Translate MLflow's errors into the platform's. Leaves the block at an error whose code is in ``ignore``.

    Raises:
        EngineUnavailable: MLflow does not answer, or fails.
        MlflowRefused: MLflow refuses the call.
    """
    try:
        yield
    except MlflowException as error:
        if error.error_code in ignore:
            return
        if error.error_code in _UNAVAILABLE:
            raise EngineUnavailable(f"MLflow does not answer: {error.message}") from error
        raise MlflowRefused(f"MLflow refused: {error.message}", error_code=error.error_code) from error


def every_page(fetch: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield all items of a paged MLflow search. ``fetch`` takes the page token."""
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
    """The newest value of each metric of a run, as it was logged."""
    return {name: as_logged(value) for name, value in run.data.metrics.items()}


def as_logged(value: float) -> float:
    """A metric's value. MLflow's SQL store replaces an infinity by the largest double.

    A diverged loss would then be the best of a sweep that maximizes it.
    """
    return math.copysign(math.inf, value) if abs(value) == _LARGEST else value
