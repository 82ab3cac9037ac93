"""Debian's Chromium, which playwright drives. Playwright downloads none."""

from __future__ import annotations

import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")


def browser_program() -> str:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise FileNotFoundError("There is no Chromium: apt-get install chromium")
    return program
