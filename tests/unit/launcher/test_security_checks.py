"""Findings of `raylift doctor` on root, sandboxes and open addresses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from raylift.launcher import security_checks
from raylift.launcher.findings import Level
from raylift.launcher.run.config import load_config
from raylift.launcher.security_checks import landlock_version, security_findings


def levels(*, euid: int = 1000, host: str = "127.0.0.1") -> dict[str, Level]:
    return {finding.name: finding.level for finding in security_findings(load_config(), host=host, euid=euid)}


def test_root_and_open_addresses_are_warned_of() -> None:
    assert levels()["user"] is levels()["address"] is Level.OK
    assert levels(euid=0)["user"] is Level.WARN
    assert levels(host="0.0.0.0")["address"] is Level.WARN
    found = security_findings(load_config(), host="0.0.0.0", euid=0)
    assert all(finding.advice for finding in found if finding.level is Level.WARN)


@pytest.mark.parametrize(
    ("landlock", "bubblewrap", "level", "says"),
    [
        (4, "/usr/bin/bwrap", Level.OK, "Landlock 4 and bubblewrap"),
        (4, None, Level.OK, "Landlock 4, no bubblewrap"),
        (0, "/usr/bin/bwrap", Level.OK, "bubblewrap, no Landlock"),
        (0, None, Level.WARN, "no Landlock, no bubblewrap"),
    ],
)
def test_missing_sandboxes_are_named(
    monkeypatch: pytest.MonkeyPatch, landlock: int, bubblewrap: str | None, level: Level, says: str
) -> None:
    monkeypatch.setattr(security_checks, "landlock_version", lambda: landlock)
    monkeypatch.setattr(security_checks.shutil, "which", lambda _: bubblewrap)
    found = next(finding for finding in security_findings(load_config(), host="::1", euid=1) if finding.name == "sandbox")
    assert (found.level, found.detail) == (level, says)


def test_landlock_is_asked_of_the_running_kernel() -> None:
    modules = Path("/sys/kernel/security/lsm")
    if modules.exists():
        assert (landlock_version() > 0) == ("landlock" in modules.read_text(encoding="ascii"))
    else:
        release = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout
        assert landlock_version() == 0 or tuple(map(int, release.split(".")[:2])) >= (5, 13)
