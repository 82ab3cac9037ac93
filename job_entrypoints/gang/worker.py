"""First step of a worker process of a job that uses Ray (``worker_process_setup_hook``)."""

from __future__ import annotations

import json
import os

from job_entrypoints.contract import GROUP_AMOUNTS_VARIABLE, GROUP_VARIABLE, SUBMISSION_ID_VARIABLE


def set_up() -> None:
    """Keep what this worker starts in the job's placement group, and its memory to the limit. Ray calls it.

    Its output goes to the job's log.
    """
    if GROUP_AMOUNTS_VARIABLE not in os.environ or GROUP_VARIABLE not in os.environ:
        return
    from job_entrypoints.gang.memory import limit_memory
    from job_entrypoints.gang.output import forward_output

    keep_in_group()
    forward_output()
    name = os.environ.get(SUBMISSION_ID_VARIABLE, "worker")
    limit_memory(name, int(json.loads(os.environ[GROUP_AMOUNTS_VARIABLE])["memory_bytes"]))


def keep_in_group() -> None:
    """Keep the Ray tasks and actors that this process starts in the job's placement group."""
    from job_entrypoints.gang import scheduling

    scheduling.install()
