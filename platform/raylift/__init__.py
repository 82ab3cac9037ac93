"""Upload a Python training script, get an autoscaled REST endpoint.

    from raylift import Client

    with Client() as client:
        job = client.train("train.py", model="churn", requirements=["scikit-learn"]).wait()
        print(client.predict("churn", [[1.0, 2.0]]).predictions)

The import of this package loads nothing else: every process of the platform imports it. The first use of a name imports
the SDK with httpx and Pydantic, but never Ray, MLflow, SQLAlchemy, FastAPI, NumPy or pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raylift.client import (
        APIError,
        AsyncClient,
        Client,
        Clock,
        Conflict,
        ConnectionFailed,
        Forbidden,
        InvalidRequest,
        Job,
        JobCancelled,
        JobFailed,
        JobWaitTimeout,
        NotFound,
        Prediction,
        RayliftError,
        RolloutWaitTimeout,
        ServerError,
        Sweep,
        SweepFailed,
        SweepWaitTimeout,
        TooLarge,
        Unauthenticated,
        Unavailable,
    )

__version__ = "0.2.0"

__all__ = [
    "APIError",
    "AsyncClient",
    "Client",
    "Clock",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobWaitTimeout",
    "NotFound",
    "Prediction",
    "RayliftError",
    "RolloutWaitTimeout",
    "ServerError",
    "Sweep",
    "SweepFailed",
    "SweepWaitTimeout",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("raylift.client"), name)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext raylift``: the magics ``%raylift`` and ``%%raylift train``."""
    import_module("raylift.cli.magic").register(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
