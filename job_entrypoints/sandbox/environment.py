"""Environment variables of a sandboxed script: folders of its own, and nothing of the platform."""

from __future__ import annotations

import os
import site
import sys

from job_entrypoints.contract import (
    INSTANCE_VARIABLE,
    JOB_ID_VARIABLE,
    NO_NETWORK,
    OVERLAY_VARIABLE,
    SUBMISSION_ID_VARIABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from job_entrypoints.attempt.record import Attempt

_OF_THE_PLATFORM = ("RAY_", "RAYLIFT_", "RUNTIME_ENV_", "BAD_RUNTIME_ENV_", "XDG_", "UV_CACHE_DIR", "PIP_CACHE_DIR")
_KEPT = (JOB_ID_VARIABLE, SUBMISSION_ID_VARIABLE, INSTANCE_VARIABLE, "RAYLIFT_COMMAND_HOOKS", "RAYLIFT_URL")
_HOME = "home"
_INSTALLED = "site-packages"


def overlay_of_job() -> str | None:
    """The directory of the job's overlay, which the environment plugin names to the wrapper."""
    return os.environ.get(OVERLAY_VARIABLE) or None


def interpreter(attempt: Attempt) -> str:
    """The Python of the script: the overlay's for a sandboxed job that has one, else the wrapper's own."""
    overlay = overlay_of_job() if attempt.is_sandboxed else None
    return os.path.join(overlay, "bin", "python") if overlay else sys.executable


def own_folders(attempt: Attempt) -> list[str]:
    """Folders of the script below its temporary directory; the caller makes them."""
    return [os.path.join(attempt.temporary_directory, name) for name in (_HOME, _INSTALLED)]


def sandbox_environment(attempt: Attempt, environment: Mapping[str, str]) -> dict[str, str]:
    """Take the platform's variables from ``environment``, and put HOME, caches and installations into the job's folder."""
    own = {**attempt.environment, **attempt.data_variables}
    mine = {name: value for name, value in environment.items() if name in own or name in _KEPT or not _is_foreign(name)}
    home, installed = own_folders(attempt)
    # Packages that a script installs while it runs: pip has no user's folder in a virtual environment.
    paths = [mine.get("PYTHONPATH", ""), installed, *_user_site()]
    mine["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    defaults = {"HOME": home, "PIP_TARGET": installed, "PIP_NO_CACHE_DIR": "1", "PYTHONUSERBASE": os.path.join(home, ".local")}
    mine.update({name: value for name, value in defaults.items() if name not in own})
    overlay = overlay_of_job()
    if overlay:
        mine["PATH"] = f"{os.path.join(overlay, 'bin')}{os.pathsep}{mine.get('PATH', os.defpath)}"
        mine["VIRTUAL_ENV"] = overlay
    if attempt.network == NO_NETWORK:
        # MLflow is out of reach: its client would wait and try again.
        mine["MLFLOW_TRACKING_URI"] = f"sqlite:///{os.path.join(attempt.temporary_directory, 'mlflow.db')}"
    return mine


def _is_foreign(name: str) -> bool:
    return name.startswith(_OF_THE_PLATFORM)


def _user_site() -> list[str]:
    """The folder of a base that was installed with ``pip install --user``; HOME would no longer lead to it."""
    folder = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    return [folder] if folder and folder in sys.path else []
