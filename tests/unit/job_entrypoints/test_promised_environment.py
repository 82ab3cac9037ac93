from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.attempt.record import Attempt
from job_entrypoints.contract import OVERLAY_READY_FILE
from job_entrypoints.script.environment_check import environment_mismatch

LOCK = ["rich==14.0.0", "humanize==4.9.0"]


def _attempt(tmp_path: Path, **fields: Any) -> Attempt:
    record = {"job_id": "job_1", "script": "a.py", "environment_lock": LOCK, "in_overlay": True}
    return Attempt(str(tmp_path), record | fields)


def _overlay(folder: Path, lock: list[str]) -> str:
    (folder / OVERLAY_READY_FILE).write_text(json.dumps({"lock": lock, "size": 1}))
    return str(folder)


def test_the_overlay_of_the_jobs_lock_is_what_was_promised(tmp_path: Path) -> None:
    assert environment_mismatch(_attempt(tmp_path), _overlay(tmp_path, sorted(LOCK))) is None


@pytest.mark.parametrize("lock", [[], ["humanize==4.9.0"]])
def test_the_overlay_of_another_lock_is_not(tmp_path: Path, lock: list[str]) -> None:
    assert environment_mismatch(_attempt(tmp_path), _overlay(tmp_path, lock)) is not None


def test_the_base_is_not_and_it_is_said_what_to_do() -> None:
    message = environment_mismatch(_attempt(Path("/nowhere")))
    assert message is not None
    for part in (sys.prefix, "humanize==4.9.0", "RAY_RUNTIME_ENV_PLUGINS", "environments.mechanism: ray_uv"):
        assert part in message


@pytest.mark.parametrize("fields", [{"environment_lock": []}, {"in_overlay": False}, {"in_overlay": None}])
def test_jobs_of_the_base_and_of_ray_s_environments_are_accepted(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert environment_mismatch(_attempt(tmp_path, **fields)) is None
