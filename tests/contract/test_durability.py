from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy.engine import make_url

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import JobStatus
from raylift.store import JobFilter, Store
from tests.contract.samples import add
from tests.postgres_server import PostgresServer

UPLOAD_FOR_EVER = """
import hashlib, sys
from datetime import UTC, datetime
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import JobSpec
from raylift.store import Store
store = Store.open(sys.argv[1])
script = b"print()"
spec = JobSpec(hashlib.sha256(script).hexdigest(), "train.py", "churn", tags={"a": "b"})
while True:
    print(store.jobs.add(spec, script, job_id=new_job_id(), now=datetime.now(UTC)).job_id, flush=True)
"""


def test_acknowledged_jobs_are_stored_after_a_kill(database_url: str, open_store: Callable[[], Store]) -> None:
    process = subprocess.Popen([sys.executable, "-c", UPLOAD_FOR_EVER, database_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(100)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.communicate()[0].split()
    store = open_store()
    for job_id in acknowledged:
        assert store.jobs.get(job_id).job_id == job_id
        assert len(store.jobs.events(job_id)) == 1
        assert store.jobs.script(store.jobs.get(job_id).spec.script_sha256)
    # One more job at most: committed, but not printed yet.
    assert store.jobs.count_by_status()[JobStatus.QUEUED] in {len(acknowledged), len(acknowledged) + 1}
    # The killed writer left no lock.
    add(store)


@pytest.mark.postgres
def test_store_reconnects_to_a_restarted_database(postgres: PostgresServer, migrated_template: str) -> None:
    with postgres.database(migrated_template) as name:
        store = Store.open(postgres.url(name))
        job = add(store)
        postgres.disconnect(name)
        # The pool tests a connection before it returns it.
        assert store.jobs.get(job.job_id) == job
        store.close()


@pytest.mark.postgres
def test_unreachable_database_is_given_up_within_half_a_minute(postgres: PostgresServer) -> None:
    """The server's machine sends no reset. The kernel would send again for a quarter of an hour."""
    store = Store.open(postgres.url("postgres"))
    connection = store.changes._database.bare_connection()
    with closing(connection), socket.socket(fileno=os.dup(connection.fileno())) as tcp:
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 30
    store.close()


@pytest.mark.postgres
def test_error_names_the_unreachable_database_without_password(postgres: PostgresServer) -> None:
    url = make_url(postgres.url("no_such_database")).set(password="s3cret")
    store = Store.open(url.render_as_string(hide_password=False))
    for act in (store.ping, store.migrate, lambda: add(store), lambda: store.jobs.list(JobFilter(), limit=1)):
        with pytest.raises(EngineUnavailable) as caught:
            act()
        assert caught.value.facts["retry_after_seconds"] > 0
        assert "s3cret" not in str(caught.value) + str(caught.value.__cause__)
    store.close()


def test_reachable_store_is_healthy(store: Store) -> None:
    store.ping()


def test_only_postgresql_allows_several_nodes(store: Store, database_url: str) -> None:
    assert store.supports_many_nodes is database_url.startswith("postgresql")
