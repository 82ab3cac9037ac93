from __future__ import annotations

from pathlib import Path

import pytest

from job_entrypoints.attempt.notes import TRACKING_URI, read_notes
from job_entrypoints.tracking.tracking_uri import TrackingUri


@pytest.mark.parametrize(
    ("uris", "noted"),
    [
        (["sqlite:///mlflow.db"], "sqlite:///mlflow.db"),
        (["http://me:secret@other:5000"], "http://…@other:5000"),
        (["file:///tmp/runs", "http://job/"], None),
        (["http://job"], None),
        ([None], "MLflow's own place"),
    ],
)
def test_other_tracking_address_is_noted_without_its_secrets(uris: list[str], noted: str | None, tmp_path: Path) -> None:
    path = str(tmp_path / "script.json")
    set_uri = TrackingUri("http://job", path).after(lambda uri: f"set {uri}")
    for uri in uris:
        assert set_uri(uri) == f"set {uri}"
    assert read_notes(path).get(TRACKING_URI) == noted


def test_job_without_mlflow_notes_nothing(tmp_path: Path) -> None:
    TrackingUri(None, str(tmp_path / "script.json")).check("sqlite:///mlflow.db")
    assert list(tmp_path.iterdir()) == []
