"""Database connections and transactions on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar, cast

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, NullPool, Table, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from raylift.domain.errors import EngineUnavailable, PlatformError
from raylift.store.engine import trail
from raylift.store.engine.group_commit import GroupCommit
from raylift.store.engine.key_ring import KEY_FILE, KeyRing
from raylift.store.engine.sealed import use_keys
from raylift.store.engine.tables import Base

T = TypeVar("T")

_BUSY_SECONDS: Final = 30
"""Wait for another process's write transaction before "database is locked"."""
_CONNECT_SECONDS: Final = 10
_SILENCE_SECONDS: Final = 20
"""Timeout for a database server whose machine disappeared. The kernel's own is 15 minutes."""
_RETRY_SECONDS: Final = 2
_MIGRATION_LOCK: Final = 0x7261796C696674
"""PostgreSQL advisory lock of migrations: "raylift" in ASCII."""


class Database:
    """One database and its connections. No network calls inside a transaction."""

    def __init__(self, url: str, keys: KeyRing | None = None) -> None:
        self.url = _driver_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            _prepare_file(_file_of(self.url))
        self.keys = _keys_beside(self.url) if keys is None else keys
        self._engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        use_keys(self._engine, self.keys)
        self._writing_engine = self._engine.execution_options(raylift_writes=True)
        # A second SQLite writer polls in its sleep. A lock is faster between the threads of one process.
        self._turn: AbstractContextManager[Any] = Lock() if self.is_sqlite else nullcontext()
        self._group = GroupCommit(self._transaction)

    @contextmanager
    def read(self) -> Generator[Session]:
        """Open a read-only transaction.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        with _named_failures(), Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Generator[Session]:
        """Open a transaction that is durable when the block ends, and rolled back when the block raises.

        Raises:
            EngineUnavailable: the database does not answer, or another process keeps it locked.
        """
        with self._transaction() as session:
            act = trail.begin(session)
            yield session
            trail.record(session, act)

    @contextmanager
    def _transaction(self) -> Generator[Session]:
        with _named_failures(), self._turn, Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def write_together(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in a transaction that it may share with other waiting writers.

        Returns after it is durable. If ``work`` raises, its changes are rolled back.

        Raises:
            EngineUnavailable: as ``write``.
        """
        if self.is_sqlite:
            with _named_failures():
                return self._group.run(trail.recorded(work))
        with self.write() as session:  # PostgreSQL groups commits itself.
            return work(session)

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """Open a transaction for changes of the tables. Only one process at a time has one."""
        if not self.is_sqlite:
            with _named_failures(), self._engine.begin() as connection:
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                yield connection
            return
        # Rebuilding a table drops the old one, which would delete the rows that refer to it. So foreign keys are off.
        engine = _sqlite_engine(self.url, foreign_keys=False).execution_options(raylift_writes=True)
        with _named_failures(), _file_lock(_file_of(self.url)), engine.begin() as connection:
            yield connection
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise RuntimeError(f"the migration left rows that refer to nothing: {broken[:5]}")

    def empty_log(self) -> None:
        """Copy SQLite's write-ahead log into the database and empty it, as far as present readers allow."""
        if self.is_sqlite:
            with closing(self.bare_connection()) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def bare_connection(self) -> Any:
        """Open a driver connection without transactions. The caller closes it.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        with _named_failures():
            pooled = self._engine.raw_connection()
        # Read first: a detached pool entry no longer has its connection.
        connection: Any = pooled.driver_connection
        pooled.detach()
        if not self.is_sqlite:
            connection.autocommit = True
        return connection

    @property
    def driver_error(self) -> type[Exception]:
        """Base of the errors that a ``bare_connection`` raises."""
        return cast("Any", self._engine.dialect.dbapi).Error

    def ping(self) -> None:
        with self.read() as session:
            session.execute(select(1))

    def close(self) -> None:
        self._engine.dispose()


def insert_into(session: Session, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that supports ON CONFLICT, in the session's dialect. Pass its values to ``execute``."""
    return dialect_insert(dialect_of(session), row)


def dialect_of(session: Session) -> str:
    return session.get_bind().dialect.name


@cache
def dialect_insert(dialect: str, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
    # The table, not the mapped class, because the mapper took half of the CPU time of an upload.
    table = cast("Table", row.__table__)
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@contextmanager
def _named_failures() -> Generator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise EngineUnavailable("The database does not answer; try again.", retry_after_seconds=_RETRY_SECONDS) from error
    except StatementError as error:
        # SQLAlchemy wraps errors of column types, such as a missing key.
        if isinstance(error.orig, PlatformError):
            raise error.orig from None
        raise


def _keys_beside(url: URL) -> KeyRing:
    is_sqlite = url.get_backend_name() == "sqlite"
    return KeyRing(_file_of(url).with_name(KEY_FILE), made_on_demand=True) if is_sqlite else KeyRing(None)


def _driver_url(text: str) -> URL:
    url = make_url(text)
    match url.get_backend_name():
        case "sqlite":
            return url
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"{other} is not supported as a database: use sqlite:///… or postgresql://…")


def _postgresql_engine(url: URL) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        # Errors and logs must not show values, which include environment variables of jobs.
        hide_parameters=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": _SILENCE_SECONDS * 1000,
            "keepalives_idle": _SILENCE_SECONDS // 2,
            "keepalives_interval": _SILENCE_SECONDS // 4,
            "application_name": "raylift",
        },
    )


def _sqlite_engine(url: URL, *, foreign_keys: bool = True) -> Engine:
    engine = create_engine(
        url,
        poolclass=None if foreign_keys else NullPool,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )

    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver would begin transactions late and never IMMEDIATE, so `begin` below does it.
        connection.isolation_level = None
        # In WAL mode NORMAL does not sync at a commit, but 202 means durable.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    def begin(connection: Connection) -> None:
        # SQLite fails a transaction that reads first and then has to wait for a write lock. So writers begin IMMEDIATE.
        writes = connection.get_execution_options().get("raylift_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin)
    return engine


def _file_of(url: URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ValueError("the store needs a SQLite file: sqlite:////absolute/path.db")
    return Path(url.database)


def _file_lock(file: Path) -> FileLock:
    return FileLock(f"{file}.lock", mode=0o600)


def _prepare_file(file: Path) -> None:
    """Create the file with mode 600, because it has users' environment variables, and turn WAL on, which is permanent."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # An existing file is not opened: closing it would drop the locks of all connections of this process to it.
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    # Turning WAL on does not wait for other connections, unlike other statements, so processes take turns.
    with _file_lock(file), closing(sqlite3.connect(file, timeout=_BUSY_SECONDS)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise ValueError(f"SQLite cannot keep a write-ahead log at {file} (journal mode {mode}): use a local disk")
