"""Errors of environments. Their code is also the reason of a failed job."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from raylift.domain.errors import Conflict, NotFound, PlatformError
from raylift.domain.job import Reason


class EnvironmentUnresolvable(PlatformError):
    """No set of packages meets the requirements, or the package index is unreachable."""

    code: ClassVar[str] = Reason.ENVIRONMENT_ERROR.value


class EnvironmentBuildFailed(PlatformError):
    """The locked packages cannot be installed on this node."""

    code: ClassVar[str] = Reason.ENVIRONMENT_ERROR.value


class BuildCancelled(Exception):
    """A resolution or build was stopped because all its waiters have left."""


class EnvironmentInUse(Conflict):
    """A job, a replica or a build uses the environment."""

    code: ClassVar[str] = "environment_in_use"


class EnvironmentNotFound(NotFound):
    code: ClassVar[str] = "environment_not_found"


_IN_TRACEBACK: Final = re.compile(rf"^(?:[\w.]+\.)?{EnvironmentBuildFailed.__name__}: (.+)$", re.MULTILINE)


def build_failure_in(ray_message: str) -> str | None:
    """Extract the message of an ``EnvironmentBuildFailed`` from Ray's report of a failed runtime_env; None without one.

    Ray reports a plugin's exception as a traceback of its agent.
    """
    found = _IN_TRACEBACK.findall(ray_message)
    return found[-1].strip() if found else None
