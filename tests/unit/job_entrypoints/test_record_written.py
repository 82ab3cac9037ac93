from __future__ import annotations

import json
from pathlib import Path

import pytest

from job_entrypoints.attempt import write_json


@pytest.mark.parametrize("removed", ["directory", "replaced"])
def test_the_record_is_written_whatever_the_script_did_to_its_place(tmp_path: Path, removed: str) -> None:
    path = tmp_path / "attempt" / "progress.json"
    if removed == "replaced":
        (path / "below").mkdir(parents=True)
    write_json(str(path), {"state": "finished"})
    assert json.loads(path.read_text()) == {"state": "finished"}
