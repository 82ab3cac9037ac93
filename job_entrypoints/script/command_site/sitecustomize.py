"""Installs the hooks at Python's start in each process that a job's shell command starts.

``job_entrypoints/script/command_hooks.py`` puts this folder on PYTHONPATH, in front of the environment's own sitecustomize.
That one, if there is any, is imported next.
"""

import os
import sys

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if path != _OWN_FOLDER]
_own = sys.modules.pop(__name__)

try:
    from job_entrypoints.script.command_hooks import install
except ImportError:
    # Another interpreter than the platform's: only environment variables tie its runs to the job.
    pass
else:
    install()

try:
    __import__(__name__)
except ModuleNotFoundError as error:
    if error.name != __name__:
        raise
    sys.modules[__name__] = _own
