"""Commands on the state directory of this machine's platform: backup, restore, and rotation of its key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raylift.cli.platform import DEFAULT_STATE, ConfigFile, StateDir, launcher_errors
from raylift.cli.printing import say

NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="A new .tar.gz.", show_default=False, dir_okay=False)]
Backup = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file of `raylift backup`.", show_default=False, exists=True, dir_okay=False)
]


def register(app: typer.Typer, secrets: typer.Typer) -> None:
    app.command("backup")(backup)
    app.command("restore")(restore)
    secrets.command("rotate-key")(rotate_key)


def backup(
    file: NewFile,
    state_dir: StateDir = DEFAULT_STATE,
    config: ConfigFile = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Also write the keys of secrets: whoever has the file can then read them.")
    ] = False,
) -> None:
    """Write all that the platform keeps to a file, while it runs: jobs, logs, runs, models, settings.

    Secrets in it stay encrypted.
    """
    from raylift.launcher.backup.create import write_backup

    with launcher_errors():
        manifest = write_backup(state_dir, file, config_file=config, with_keys=with_keys)
    say(f"{file} is complete.")
    if not manifest.has_keys:
        say("Its secrets are encrypted, and the keys are not in it. Keep the state directory's file secrets-key elsewhere.")


def restore(file: Backup, state_dir: StateDir = DEFAULT_STATE, config: ConfigFile = None) -> None:
    """Restore a backup into an empty state directory. Then start the platform with `raylift up`."""
    from raylift.launcher.backup.restore import restore_backup

    with launcher_errors():
        restored = restore_backup(file, state_dir, config_file=config)
    say(f"{state_dir.expanduser()} has the platform of {restored.manifest.made_at:%Y-%m-%d %H:%M} UTC.")
    if not restored.manifest.has_keys:
        say("Its secrets need the former file secrets-key in that directory, before `raylift up`.")
    if restored.settings is not None:
        say(f"Its settings: raylift up --config {restored.settings}")


def rotate_key(state_dir: StateDir = DEFAULT_STATE, config: ConfigFile = None) -> None:
    """Encrypt all secrets and environment variables of jobs with a new key. Run it on the platform's machine.

    The former key is removed; backups made with it need it. Jobs and requests may go on.
    """
    from raylift.launcher.key_rotation import rotate_keys

    with launcher_errors():
        rotation = rotate_keys(state_dir, config_file=config)
    say(f"{rotation.changed} records are encrypted with the first key of {rotation.source}.")
