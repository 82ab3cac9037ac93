"""Removes environment variables from attempts that releases before 0011 of the store left behind."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from raylift.engines.attempts.directory import AttemptDirectory, attempts_on_disk

log = logging.getLogger(__name__)

_DONE: Final = ".variables-removed"
"""Its existence means that all older attempts were cleaned."""


def remove_old_variables(attempts_dir: Path) -> int:
    """Clean all attempts, once. No attempt may be running. Returns the number of changed ones."""
    done = attempts_dir / _DONE
    if done.exists():
        return 0
    count = sum(AttemptDirectory(attempts_dir, name).remove_variables() for name in attempts_on_disk(attempts_dir))
    done.touch(mode=0o600)
    return count
