"""``python -m raylift.ray_internals.start start …``: Ray's ``ray start``, with a shorter first step for the platform's workers.

See ``setup_worker.py`` beside this file. Ray has no option for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ray._private import ray_constants
from ray.scripts.scripts import main

SETUP_WORKER: Final = Path(__file__).with_name("setup_worker.py")

if __name__ == "__main__":
    # Ray joins it to the path of its own folder of workers, which an absolute path replaces. The raylet skips this step, for
    # workers without a runtime_env, where the name ends as its own does.
    ray_constants.SETUP_WORKER_FILENAME = str(SETUP_WORKER)
    main()
