from __future__ import annotations

import json
from pathlib import Path

import pytest

from job_entrypoints.attempt.record import write_json


@pytest.mark.parametrize(
    "done", ["directory removed", "directory closed", "file in its place", "link in its place", "record replaced"]
)
def test_record_is_written_despite_a_hostile_script(tmp_path: Path, done: str) -> None:
    directory = tmp_path / "attempt"
    path = directory / "progress.json"
    match done:
        case "directory closed":
            directory.mkdir(mode=0)
        case "file in its place":
            directory.touch()
        case "link in its place":
            directory.symlink_to(tmp_path / "nowhere")
        case "record replaced":
            (path / "below").mkdir(parents=True)
        case _:
            pass
    write_json(str(path), {"state": "finished"})
    assert json.loads(path.read_text()) == {"state": "finished"}
