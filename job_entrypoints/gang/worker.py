"""First step of a worker process of a job that uses Ray (``worker_process_setup_hook``)."""

from __future__ import annotations

import os

from job_entrypoints.contract import GROUP_AMOUNTS_VARIABLE, GROUP_VARIABLE


def set_up() -> None:
    """Keep what this worker starts in the job's placement group. Ray calls it; the job's own processes only."""
    if GROUP_VARIABLE not in os.environ or GROUP_AMOUNTS_VARIABLE not in os.environ:
        return
    from job_entrypoints.gang import scheduling

    scheduling.install()
