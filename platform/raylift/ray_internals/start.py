"""``python -m raylift.ray_internals.start start …``: ``ray start`` with what it has no option for.

``setup_worker.py`` is the first step of workers, and the password of an external storage stays out of command lines.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ray._private import ray_constants
from ray.scripts.scripts import main

from raylift.ray_internals.external_storage import GcsStorage, use_storage

SETUP_WORKER: Final = Path(__file__).with_name("setup_worker.py")

if __name__ == "__main__":
    # Ray joins this name to its own folder; an absolute path replaces the folder. The raylet skips the step for workers
    # without a runtime_env if the path ends in Ray's own file name.
    ray_constants.SETUP_WORKER_FILENAME = str(SETUP_WORKER)
    storage = GcsStorage.taken_from_environment()
    if storage is not None:
        # Only this process sees these, not its command line.
        sys.argv += use_storage(storage)
    main()
