"""``python -m raylift.ray_internals.start start …``: ``ray start`` with ``setup_worker.py`` as the first step of workers.

Ray has no option for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ray._private import ray_constants
from ray.scripts.scripts import main

SETUP_WORKER: Final = Path(__file__).with_name("setup_worker.py")

if __name__ == "__main__":
    # Ray joins this name to its own folder; an absolute path replaces the folder. The raylet skips the step for workers
    # without a runtime_env if the path ends in Ray's own file name.
    ray_constants.SETUP_WORKER_FILENAME = str(SETUP_WORKER)
    main()
