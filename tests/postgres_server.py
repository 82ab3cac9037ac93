"""A PostgreSQL server for the tests, from the machine's binaries: a free port and a temporary directory, removed afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg

_START_SECONDS = 60
_STOP_SECONDS = 30


class PostgresServer:
    """A server that runs from ``start`` to ``stop``. Databases are cheap: each test has its own."""

    def __init__(self) -> None:
        self._bin = binaries()
        account = _account()
        self._user, self._group = account or (None, None)
        self._groups: list[int] | None = None if account is None else []
        self._directory = Path(tempfile.mkdtemp(prefix="rl-pg-", dir="/tmp"))
        self._names: Iterator[int] = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        if self._user is not None:
            shutil.chown(self._directory, self._user)

    def start(self) -> None:
        data = self._directory / "data"
        self._run(
            "initdb", f"--pgdata={data}", "--username=raylift", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"
        )
        for _ in range(3):
            self._port = _free_port()
            options = [
                "-D",
                str(data),
                "-p",
                str(self._port),
                "-h",
                "127.0.0.1",
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=off",
            ]
            with (self._directory / "log").open("ab") as log:
                command = [str(self._bin / "postgres"), *options]
                process = subprocess.Popen(
                    command,
                    cwd=self._directory,
                    stdout=log,
                    stderr=log,
                    user=self._user,
                    group=self._group,
                    extra_groups=self._groups,
                )
            self._process = process
            if self._answers(process):
                return
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._directory / 'log').read_text()}")

    def stop(self) -> None:
        if self._process is not None:
            # Fast shutdown: the server ends all sessions and waits for none.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._directory)

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Generator[str]:
        """Create a database, a copy of ``template`` if given. Returns its name. It is dropped at the end."""
        name = f"t{next(self._names)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        return f"postgresql://raylift@127.0.0.1:{self._port}/{database}"

    def disconnect(self, database: str) -> None:
        """End every session of a database, as a restart of the server does."""
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self._execute("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        return False

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(
            command,
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            group=self._group,
            extra_groups=self._groups,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def running_postgres() -> Generator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def binaries() -> Path:
    # Debian's folder first: the commands on its PATH are wrappers that know Debian's own clusters only.
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True):
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    found = shutil.which("initdb")
    if found is None:
        raise RuntimeError("These tests run on a real PostgreSQL server: install one (apt-get install postgresql).")
    return Path(found).resolve().parent


def _account() -> tuple[int, int] | None:
    """User and group for the server if the tests run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise RuntimeError("PostgreSQL refuses to run as root, and this machine has neither a postgres nor a nobody user.")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
