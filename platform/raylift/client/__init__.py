"""The SDK. Everything public is re-exported here and, for short, from ``raylift`` itself."""

from __future__ import annotations

from raylift.client.client import Client
from raylift.client.clock import Clock
from raylift.client.errors import (
    APIError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    JobWaitTimeout,
    NotFound,
    RayliftError,
    ServerError,
    SweepFailed,
    SweepWaitTimeout,
    TooLarge,
    Unavailable,
)
from raylift.client.jobs import Job
from raylift.client.prediction import Prediction
from raylift.client.sweeps import Sweep

__all__ = [
    "APIError",
    "Client",
    "Clock",
    "Conflict",
    "ConnectionFailed",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobWaitTimeout",
    "NotFound",
    "Prediction",
    "RayliftError",
    "ServerError",
    "Sweep",
    "SweepFailed",
    "SweepWaitTimeout",
    "TooLarge",
    "Unavailable",
]
