"""Waiting for something to become ready while what should make it so is alive."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Final

import httpx

from raylift.launcher.errors import LauncherError

_PAUSE_SECONDS: Final = 0.1


def wait_for(
    ready: Callable[[], bool], *, what: str, timeout: float, maker: subprocess.Popen[bytes] | None, log_tail: Callable[[], str]
) -> None:
    """Return when ``ready`` says so.

    Raises:
        LauncherError: ``maker`` ended before, or time ran out.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if maker is not None and maker.poll() not in {None, 0}:
            raise LauncherError(f"{what} ended while starting (exit code {maker.returncode}).", log_tail=log_tail())
        if time.monotonic() > deadline:
            raise LauncherError(
                f"{what} did not become ready within {timeout:.0f} s.",
                log_tail=log_tail(),
                hint="On a slow machine, raise startup.timeout_seconds in a --config file.",
            )
        time.sleep(_PAUSE_SECONDS)


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
