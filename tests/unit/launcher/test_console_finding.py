from __future__ import annotations

from pathlib import Path

import pytest

from raylift.launcher import doctor
from raylift.launcher.findings import Level
from serve_apps.console.static_files import is_built


def test_doctor_says_how_to_build_a_missing_console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "is_built", lambda: is_built(tmp_path))
    missing = doctor._console()
    assert missing.level is Level.WARN
    assert "make console" in (missing.advice or "")
    (tmp_path / "index.html").touch()
    assert doctor._console().level is Level.OK
