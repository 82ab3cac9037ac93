"""A replica's end of the process of its model, without Ray: loading, the port, forwarded requests, draining, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from raylift.domain.models.replica import ObserverConfig
from raylift.ingress.access_token import Receive, Scope, Send
from serve_apps.model_server.process.spec import VersionSpec
from serve_apps.model_server.ray.forwarding import forward_to
from serve_apps.model_server.ray.model_process import ModelEnded, ModelHost
from tests.integration.model_server.replicas import Registry, log_function

pytestmark = pytest.mark.timeout(300)
own_loop = pytest.mark.asyncio(loop_scope="module")

ROUTE = "/v2/models/waits/versions/1"
END_OF_CHILD = """
import asyncio, json, os, signal, sys
from serve_apps.model_server.ray.model_process import ModelHost

async def main():
    host = ModelHost.of_this_worker(os.environ)
    await host.load(json.loads(sys.argv[1]))
    print(host._started.pid, flush=True)
    {then}
    await asyncio.sleep(100)

asyncio.run(main())
"""


def _waiting_model() -> Callable[[list[str]], list[str]]:
    def waits(model_input: list[str]) -> list[str]:
        """Answers once the named file exists."""
        import time
        from pathlib import Path

        while not Path(model_input[0]).exists():
            time.sleep(0.01)
        return model_input

    return waits


def order(registry: Registry, name: str, uri: str | None = None) -> dict[str, Any]:
    version = VersionSpec(name, "1", uri or f"models:/{name}/1", registry.url, 1_000_000)
    return {"version": asdict(version), "environment": {"OF_THE_VERSION": "yes"}, "token": None}


@pytest.fixture(scope="module")
def waits(registry: Registry) -> dict[str, Any]:
    registry.register("waits", log_function, python_model=_waiting_model())
    return order(registry, "waits")


async def _healthy(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve's page in this test."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"of {scope['path']}".encode()})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(waits: dict[str, Any]) -> AsyncIterator[tuple[ModelHost, str]]:
    """A loaded process that answers at a port."""
    host = ModelHost.of_this_worker(dict(os.environ))
    await host.load(waits)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await host.listen(listener, 30, _healthy)
    await host.configure({"limits": [2, 1], "batching": None, "observer": ObserverConfig(slow_seconds=None).as_json()})
    yield host, url
    host.close()
    assert not _runs(host._started.pid)


def body(*files: Path) -> dict[str, Any]:
    return {"inputs": [str(file) for file in files]}


async def until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():  # noqa: ASYNC110 - a process elsewhere changes it
        await asyncio.sleep(0.01)


@own_loop
async def test_process_answers_at_the_port(running: tuple[ModelHost, str], tmp_path: Path) -> None:
    host, url = running
    (go := tmp_path / "go").touch()
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        answer = await client.post(f"{ROUTE}/predict", json=body(go))
        assert (answer.status_code, answer.json()["predictions"]) == (200, [str(go)])
        assert (await client.get("/-/healthz")).text == "of /-/healthz"
    environ = psutil.Process(host._started.pid).environ()
    assert not [name for name in environ if name.startswith("RAY_")]


@own_loop
async def test_serve_s_requests_are_forwarded(running: tuple[ModelHost, str], tmp_path: Path) -> None:
    host, _ = running
    (go := tmp_path / "go").touch()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(body(go)).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"{ROUTE}/predict", "query_string": b"", "headers": []}
    await forward_to(host.connect)(scope, receive, send)
    assert (sent[0]["status"], int(host.ongoing())) == (200, 0)
    assert json.loads(b"".join(each["body"] for each in sent[1:]))["predictions"] == [str(go)]


@own_loop
async def test_cancelled_forwarded_request_frees_its_slot(running: tuple[ModelHost, str], tmp_path: Path) -> None:
    host, _ = running
    go = tmp_path / "go"

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(body(go)).encode()}

    async def send(message: Any) -> None: ...

    scope = {"type": "http", "method": "POST", "path": f"{ROUTE}/predict", "query_string": b"", "headers": []}
    for _ in range(3):  # More than there are slots.
        asked = asyncio.ensure_future(forward_to(host.connect)(scope, receive, send))
        await asyncio.sleep(0.3)
        asked.cancel()
        await asyncio.wait([asked])
    go.touch()
    await forward_to(host.connect)(scope, receive, send)


@own_loop
async def test_requests_are_counted_queued_and_drained(running: tuple[ModelHost, str], tmp_path: Path) -> None:
    host, url = running
    go = tmp_path / "go"
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        asked = {asyncio.ensure_future(client.post(f"{ROUTE}/predict", json=body(go))) for _ in range(5)}
        # Two have slots and one waits.
        while len(asked) > 3:
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            assert {(one.result().status_code, one.result().headers["retry-after"]) for one in done} == {(429, "1")}
        assert int(host.ongoing()) == 2
        stopping = asyncio.ensure_future(host.stop_accepting())
        await asyncio.sleep(0.5)
        assert not stopping.done()
        with pytest.raises(httpx.ConnectError):
            await client.get("/-/healthz", headers={"connection": "close"})
        go.touch()
        assert [(await answer).status_code for answer in asked] == [200] * 3
        await stopping
    assert int(host.ongoing()) == 0


async def test_version_that_does_not_load_says_why(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Also in Serve's log of the replica."""
    registry.register("broken", log_function, loader_module="no_such_module")
    serves = logging.getLogger("ray.serve")
    serves.addHandler(caplog.handler)
    host = ModelHost.of_this_worker(dict(os.environ))
    with pytest.raises(RuntimeError, match=r"broken version 1 does not load.*no_such_module is missing"):
        await host.load(order(registry, "broken"))
    serves.removeHandler(caplog.handler)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in caplog.text
    await until(lambda: host._is_closing)
    assert not _runs(host._started.pid)


async def test_process_that_ends_while_it_loads_says_how(registry: Registry, waits: dict[str, Any]) -> None:
    host = ModelHost.of_this_worker({**os.environ, "PYTHONHOME": "/nowhere"})
    with pytest.raises(ModelEnded, match=r"ended with exit code 1: ."):
        await host.load(waits)


@pytest.mark.parametrize(
    ("then", "code"),
    [("os.kill(host._started.pid, signal.SIGKILL)", -signal.SIGKILL), ("os._exit(3)", 3)],
    ids=["the model's process", "the replica"],
)
def test_process_and_replica_end_together(waits: dict[str, Any], then: str, code: int) -> None:
    command = [sys.executable, "-c", END_OF_CHILD.format(then=then), json.dumps(waits)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == code, done.stderr
    child = int(done.stdout)
    end = time.monotonic() + 120
    while _runs(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
