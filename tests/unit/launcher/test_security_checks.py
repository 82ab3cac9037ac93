"""Findings of `raylift doctor` on root, sandboxes and open addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from job_entrypoints.sandbox.machine import abi_version, mechanisms
from raylift.launcher import security_checks
from raylift.launcher.findings import Finding, Level
from raylift.launcher.run.config import load_config
from raylift.launcher.security_checks import security_findings
from tests.certificates import Authority


def levels(*, euid: int = 1000, host: str = "127.0.0.1") -> dict[str, Level]:
    return {finding.name: finding.level for finding in security_findings(load_config(), host=host, euid=euid)}


def test_root_and_open_addresses_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels()["user"] is levels()["address"] is Level.OK
    monkeypatch.setattr(security_checks, "mechanisms", lambda _: ["landlock"])
    assert levels(euid=0)["user"] is Level.WARN
    assert levels(host="0.0.0.0")["address"] is Level.WARN
    found = security_findings(load_config(), host="0.0.0.0", euid=0)
    assert all(finding.advice for finding in found if finding.level is Level.WARN)


@pytest.mark.parametrize(
    ("held", "version", "level", "says"),
    [
        (["landlock", "uid"], 7, Level.OK, "landlock, uid (Landlock 7)"),
        (["landlock"], 5, Level.WARN, "Landlock 5; landlock"),
        (["no_new_privs", "seccomp"], 0, Level.WARN, "no Landlock; no_new_privs, seccomp"),
    ],
)
def test_missing_sandboxes_are_named(
    monkeypatch: pytest.MonkeyPatch, held: list[str], version: int, level: Level, says: str
) -> None:
    monkeypatch.setattr(security_checks, "mechanisms", lambda _: held)
    monkeypatch.setattr(security_checks, "abi_version", lambda: version)
    found = next(finding for finding in security_findings(load_config(), host="::1", euid=1) if finding.name == "sandbox")
    assert (found.level, found.detail) == (level, says)


def test_sandbox_that_is_off_is_warned_of() -> None:
    config = load_config(overrides={"jobs": {"isolation": "none"}})
    found = next(finding for finding in security_findings(config, host="::1", euid=1) if finding.name == "sandbox")
    assert found.level is Level.WARN


def test_mechanisms_are_tried_on_the_running_kernel() -> None:
    held = mechanisms(1_900_000_000)
    assert "no_new_privs" in held
    assert ("landlock" in held) == (abi_version() > 0)


def test_certificate_is_read_and_its_end_is_near(tmp_path: Path) -> None:
    cert, key = Authority.make().issue(tmp_path, "ml.example.org")
    (other, _) = Authority.make().issue(tmp_path, name="other")

    def found(certificate: Path, days: float = 0) -> Finding:
        config = load_config(overrides={"gateway": {"tls": {"cert": str(certificate), "key": str(key)}}})
        now = datetime.now(UTC) + timedelta(days=days)
        (last,) = [one for one in security_findings(config, host="::1", euid=1, now=now) if one.name == "certificate"]
        return last

    assert found(cert).level is Level.OK
    assert "for ml.example.org, until" in found(cert).detail
    assert (found(cert, 20).level, found(cert, 31).level) == (Level.WARN, Level.FAIL)
    for unusable, words in ((tmp_path / "none", "No such file"), (key, "cannot be read as PEM"), (other, "is not the key of")):
        finding = found(unusable)
        assert (finding.level, words in finding.detail, bool(finding.advice)) == (Level.FAIL, True, True)
    assert "certificate" not in levels()
