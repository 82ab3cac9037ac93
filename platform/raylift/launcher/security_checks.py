"""Checks of `raylift doctor` on who can do what to this machine."""

from __future__ import annotations

import ctypes
import shutil
from typing import Final

from raylift.launcher.findings import Finding, Level
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.exposure import has_authentication, is_loopback

_LANDLOCK_CREATE_RULESET: Final = 444
"""System call; the same number on every architecture."""
_ASK_VERSION: Final = 1


def security_findings(config: LocalConfig, *, host: str, euid: int) -> list[Finding]:
    """Check the user with the effective id ``euid``, the kernel's sandboxes, and the API's address ``host``."""
    return [_user(euid), _sandbox(landlock_version(), shutil.which("bwrap")), _address(config, host)]


def landlock_version() -> int:
    """Return the version of Landlock's interface that the running kernel offers; 0 without Landlock."""
    try:
        version: int = ctypes.CDLL(None, use_errno=True).syscall(_LANDLOCK_CREATE_RULESET, None, 0, _ASK_VERSION)
    except (OSError, AttributeError):
        return 0
    return max(version, 0)


def _user(euid: int) -> Finding:
    if euid == 0:
        advice = "Scripts of jobs run as root, too: give Raylift a user of its own (docs/guides/team_server.md)."
        return Finding("user", Level.WARN, "root", advice)
    return Finding("user", Level.OK, f"not root (uid {euid})")


def _sandbox(landlock: int, bubblewrap: str | None) -> Finding:
    held = [f"Landlock {landlock}"] if landlock else []
    held += ["bubblewrap"] if bubblewrap else []
    missing = [name for name, found in (("Landlock", landlock), ("bubblewrap", bubblewrap)) if not found]
    if held:
        lacks = f", no {missing[0]}" if missing else ""
        return Finding("sandbox", Level.OK, f"{' and '.join(held)}{lacks}")
    advice = "Nothing on this machine can confine scripts: use Linux 5.13 or newer with Landlock, or install bubblewrap."
    return Finding("sandbox", Level.WARN, "no Landlock, no bubblewrap", advice)


def _address(config: LocalConfig, host: str) -> Finding:
    if is_loopback(host):
        return Finding("address", Level.OK, f"{host}: this machine only")
    if has_authentication(config):
        return Finding("address", Level.OK, f"{host}, with authentication")
    advice = (
        "Everybody who reaches it runs code as the platform's user: use 127.0.0.1, or require keys (raylift up --auth keys)."
    )
    return Finding("address", Level.WARN, f"{host}, open to other machines without authentication", advice)
