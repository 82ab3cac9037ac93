"""Imported by Python at its start, in each process that a job's shell command starts.

``job_entrypoints/tracking/command_hooks.py`` puts it there.

It stands in front of the environment's own sitecustomize, if there is one, which is imported next.
"""

# ruff: noqa: PTH100, PTH120
# (importing pathlib would cost every process's start some milliseconds)
import os
import sys

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if path != _OWN_FOLDER]
_own = sys.modules.pop(__name__)

try:
    from job_entrypoints.tracking.command_hooks import install
except ImportError:
    # Another interpreter than the platform's: its runs are tied to the job by their environment variables alone.
    pass
else:
    install()

try:
    __import__(__name__)
except ModuleNotFoundError as error:
    if error.name != __name__:
        raise
    sys.modules[__name__] = _own
