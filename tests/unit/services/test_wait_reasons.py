from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.job import Job, JobSpec, JobState, Reason
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import overlay_directory, overlay_python
from raylift.engines.environments.runtime_env import READY
from raylift.engines.environments.uv.process import Downloads
from raylift.services.jobs.wait_reasons import WaitReasons
from raylift.settings import QuotaSettings

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LOCK = tuple(f"package-{number}==1" for number in range(7))


def explained(state: JobState, environments: Path, *, after: float = 60, **fields: Any) -> Job:
    spec = JobSpec("0" * 64, "train.py", "exp", requirements=("torch>=2", "humanize"))
    job = Job("job_A", spec, state, NOW, NOW, **fields)
    engine: Any = None
    reasons = WaitReasons(engine, engine, engine, QuotaSettings(), environments, lambda: NOW + timedelta(seconds=after))
    return reasons.explained([job])[0]


def test_job_in_resolution_names_its_requirements(tmp_path: Path) -> None:
    assert "torch>=2, humanize" in (explained(JobState.ENVIRONMENT, tmp_path).message or "")


def test_slow_start_says_what_the_job_waits_for(tmp_path: Path) -> None:
    building = explained(JobState.STARTING, tmp_path, environment_lock=LOCK)
    assert building.reason is Reason.BUILDING_ENVIRONMENT
    assert "package-4==1 and 2 more" in (building.message or "")
    directory = overlay_directory(LOCK, tmp_path)
    python = overlay_python(directory)
    python.parent.mkdir(parents=True)
    python.touch(mode=0o755)
    (directory / READY).write_text("{}")
    assert "waits for Ray" in (explained(JobState.STARTING, tmp_path, environment_lock=LOCK).message or "")


@pytest.mark.parametrize("state", [JobState.STARTING, JobState.SCRIPT])
def test_new_or_running_job_has_no_reason(state: JobState, tmp_path: Path) -> None:
    assert explained(state, tmp_path, after=1).message is None


def test_job_in_environment_build_shows_download_progress(tmp_path: Path) -> None:
    building = explained(JobState.ENVIRONMENT, tmp_path, environment_lock=LOCK, message="5 GiB are CUDA.")
    assert "nothing downloaded yet: package-0==1" in (building.message or "")
    write_record(overlay_directory(LOCK, tmp_path), LOCK, downloads=Downloads(2**20, 3 * 2**20))
    building = explained(JobState.ENVIRONMENT, tmp_path, environment_lock=LOCK, message="5 GiB are CUDA.")
    assert "1 MiB of 3 MiB downloaded: package-0==1" in (building.message or "")
    assert (building.message or "").endswith(" 5 GiB are CUDA.")
