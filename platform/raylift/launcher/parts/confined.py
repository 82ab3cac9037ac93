"""Confines itself and becomes a command: ``python -m raylift.launcher.parts.confined ARGUMENTS_OF_CONFINE COMMAND…``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from job_entrypoints.sandbox.servers import confine


def confined(command: Sequence[str], *, protected: Sequence[Path], read: Sequence[Path], write: Sequence[Path]) -> list[str]:
    """Return the command line that runs ``command`` confined to these paths (job_entrypoints/sandbox/servers.py)."""
    paths = {"protected": protected, "read": read, "write": write}
    arguments = json.dumps({name: [str(path) for path in given] for name, given in paths.items()})
    return [sys.executable, "-m", "raylift.launcher.parts.confined", arguments, *command]


def main() -> None:
    held = confine(**json.loads(sys.argv[1]))
    sys.stderr.write(f"[raylift] confined by: {', '.join(held)}\n")
    sys.stderr.flush()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command of the launcher


if __name__ == "__main__":
    main()
