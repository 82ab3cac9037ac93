"""Commands on the state directory of this machine's platform: `raylift secrets rotate-key`."""

from __future__ import annotations

import typer

from raylift.cli.platform import DEFAULT_STATE, ConfigFile, StateDir, launcher_errors
from raylift.cli.printing import say


def register(app: typer.Typer, secrets: typer.Typer) -> None:
    secrets.command("rotate-key")(rotate_key)


def rotate_key(state_dir: StateDir = DEFAULT_STATE, config: ConfigFile = None) -> None:
    """Encrypt all secrets and environment variables of jobs with a new key. Run it on the platform's machine.

    The former key is removed; backups made with it need it. Jobs and requests may go on.
    """
    from raylift.launcher.key_rotation import rotate_keys

    with launcher_errors():
        rotation = rotate_keys(state_dir, config_file=config)
    say(f"{rotation.changed} records are encrypted with the first key of {rotation.source}.")
