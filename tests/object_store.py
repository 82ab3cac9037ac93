"""An object store with S3's protocol for the tests: SeaweedFS, on free ports and in a temporary directory."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 90.0
_STOP_SECONDS = 30.0
_KEY, _SECRET = "raylift-tests", "raylift-secret"
_PORTS = ("master", "volume", "filer", "s3", "admin")


@dataclass(frozen=True)
class ObjectStore:
    """A running store with one bucket."""

    endpoint: str
    bucket: str
    credentials_file: Path


@contextmanager
def running_object_store() -> Generator[ObjectStore]:
    """Start SeaweedFS, make a bucket, and stop it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="rl-s3-"))
    config, credentials = directory / "s3.json", directory / "credentials"
    keys = {"accessKey": _KEY, "secretKey": _SECRET}
    config.write_text(json.dumps({"identities": [{"name": "tests", "credentials": [keys], "actions": ["Admin"]}]}))
    credentials.write_text(f"[default]\naws_access_key_id = {_KEY}\naws_secret_access_key = {_SECRET}\n")
    ports = _free_ports(2 * len(_PORTS))
    http, grpc = ports[: len(_PORTS)], ports[len(_PORTS) :]
    named = [f"-{name}.port={port}" for name, port in zip(_PORTS, http, strict=True)]
    named += [f"-{name}.port.grpc={port}" for name, port in zip(_PORTS, grpc, strict=True)]
    # Other doors of it would take fixed ports.
    off = ["-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false"]
    command = ["weed", "mini", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}", *named, *off]
    endpoint = f"http://127.0.0.1:{http[_PORTS.index('s3')]}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
    try:
        _await(process, endpoint, directory / "log")
        store = ObjectStore(endpoint, "raylift-tests", credentials)
        _make_bucket(store)
        yield store
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory)


def _await(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(endpoint, timeout=5)
        except urllib.error.HTTPError:
            return  # It answers, and refuses a request without a signature.
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _make_bucket(store: ObjectStore) -> None:
    from pyarrow.fs import S3FileSystem

    host = store.endpoint.partition("://")[2]
    keys = {"access_key": _KEY, "secret_key": _SECRET}
    files = S3FileSystem(**keys, endpoint_override=host, scheme="http", region="us-east-1", allow_bucket_creation=True)
    files.create_dir(store.bucket)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
