"""The SDK. ``raylift`` re-exports the same names."""

from __future__ import annotations

from raylift.client.asynchronous import AsyncClient
from raylift.client.client import Client
from raylift.client.http.connection import Clock
from raylift.client.http.errors import (
    APIError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    NotFound,
    RayliftError,
    ServerError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from raylift.client.jobs.job import Job, JobCancelled, JobFailed, JobWaitTimeout
from raylift.client.jobs.sweeps import Sweep, SweepFailed, SweepWaitTimeout
from raylift.client.prediction import Prediction
from raylift.client.rollouts.rollouts import RolloutWaitTimeout

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
]
