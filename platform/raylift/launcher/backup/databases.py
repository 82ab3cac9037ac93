"""Consistent copies of databases while others write to them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, make_url

from raylift.launcher.errors import LauncherError


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None for PostgreSQL."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, by SQLite's backup. Readers and writers go on."""
    # Opened for writing although nothing is: a database in WAL mode cannot be read otherwise.
    with closing(sqlite3.connect(source, timeout=60)) as connection, closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)
        # The copy is one file.
        copy.execute("PRAGMA journal_mode = DELETE")


def dump_postgresql(url: str, target: Path) -> None:
    """Write the database by ``pg_dump``, as it is at one moment. Raises LauncherError."""
    _run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], url)


def restore_postgresql(url: str, dump: Path) -> None:
    """Replace the database's tables by those of the dump, all or none. Raises LauncherError."""
    options = ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    _run(["pg_restore", *options, f"--dbname={make_url(url).database}", str(dump)], url)


def _run(command: Sequence[str], url: str) -> None:
    name, *arguments = command
    if shutil.which(name) is None:
        raise LauncherError(
            f"The store is in PostgreSQL, and {name} is not installed here.",
            hint="Install PostgreSQL's client programs (Debian: postgresql-client) of the server's version or a newer one.",
        )
    # The address has a password, which other users could read in a command line.
    done = subprocess.run([name, *arguments], env={**os.environ, **_variables(make_url(url))}, capture_output=True, text=True)
    if done.returncode != 0:
        raise LauncherError(f"{name} failed: {done.stderr.strip()[-2000:]}")


def _variables(url: URL) -> dict[str, str]:
    """Return the address as variables of PostgreSQL's programs."""
    values = {
        "PGHOST": url.host,
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": None if url.password is None else str(url.password),
        "PGDATABASE": url.database,
    }
    return {name: value for name, value in values.items() if value}
