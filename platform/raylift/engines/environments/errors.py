"""What can go wrong with an environment. Both carry the code that a job's reason and a problem's code share."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from raylift.domain.errors import Conflict, NotFound, PlatformError
from raylift.domain.job import Reason


class EnvironmentUnresolvable(PlatformError):
    """No set of packages meets the requirements, or the package index cannot be asked."""

    code: ClassVar[str] = Reason.ENVIRONMENT_ERROR.value


class EnvironmentBuildFailed(PlatformError):
    """The locked packages cannot be installed on this node."""

    code: ClassVar[str] = Reason.ENVIRONMENT_ERROR.value


class BuildCancelled(Exception):
    """The last that waited for a resolution or a build has left it."""


class EnvironmentInUse(Conflict):
    """A job, a replica or a build needs it now."""

    code: ClassVar[str] = "environment_in_use"


class EnvironmentNotFound(NotFound):
    code: ClassVar[str] = "environment_not_found"


_IN_TRACEBACK: Final = re.compile(rf"^(?:[\w.]+\.)?{EnvironmentBuildFailed.__name__}: (.+)$", re.MULTILINE)


def build_failure_in(ray_message: str) -> str | None:
    """The sentence of an ``EnvironmentBuildFailed`` inside Ray's report of a failed runtime_env; None when there is none.

    Ray reports a plugin's exception as a traceback of its agent, which is nothing to show to a user.
    """
    found = _IN_TRACEBACK.findall(ray_message)
    return found[-1].strip() if found else None
