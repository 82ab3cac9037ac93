"""Reads a model version's files from MLflow's artifact proxy without MLflow: its import takes longer than the download."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final

_API: Final = "/api/2.0"
_PROXY: Final = f"{_API}/mlflow-artifacts/artifacts"
_SCHEME: Final = "mlflow-artifacts:/"
_SECONDS: Final = 60.0
_AT_A_TIME: Final = 4
_CHUNK_BYTES: Final = 1024 * 1024
_CREDENTIALS: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_AUTH")
_TOKEN: Final = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - a variable's name


class NotProxied(Exception):
    """Only MLflow's client can download the files: they are elsewhere, or the server wants credentials."""


def fetch(model_uri: str, mlflow_url: str, directory: Path) -> dict[str, str]:
    """Download all files of ``models:/<name>/<version>`` or ``models:/<model id>`` into a directory.

    Returns:
        path → SHA-256 of the bytes that were written, in hexadecimal.

    Raises:
        NotProxied: Only MLflow's client can download them.
    """

    def into_directory(path: str, answer: Any) -> str:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            return sha256_of(answer, file.write)

    return _each(model_uri, mlflow_url, into_directory)


def read_digests(model_uri: str, mlflow_url: str) -> dict[str, str]:
    """Read all files as ``fetch`` does and keep none. Returns and raises as ``fetch`` does."""
    return _each(model_uri, mlflow_url, lambda _, answer: sha256_of(answer))


def sha256_of(source: Any, write: Callable[[bytes], object] | None = None) -> str:
    """Return the SHA-256 of a binary stream, in hexadecimal. ``write`` receives each chunk."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        if write is not None:
            write(chunk)
    return digest.hexdigest()


def _each(model_uri: str, mlflow_url: str, handle: Callable[[str, Any], str]) -> dict[str, str]:
    """Open every file and return the results of ``handle`` by path."""
    # MLflow's own settings.
    found = [variable for variable in _CREDENTIALS if os.getenv(variable)]  # noqa: TID251
    if found:
        raise NotProxied(f"{found[0]} is set")
    server = mlflow_url.rstrip("/")
    try:
        root = _root(model_uri, server)
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            running = {path: threads.submit(_handle, server, root, path, handle) for path in _files(server, root, "")}
            return {path: result.result() for path, result in running.items()}
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError, KeyError) as error:
        raise NotProxied(f"{type(error).__name__}: {error}") from error


def _handle(server: str, root: str, path: str, handle: Callable[[str, Any], str]) -> str:
    with _open(f"{server}{_PROXY}/{urllib.parse.quote(f'{root}/{path}')}") as answer:
        return handle(path, answer)


def _root(model_uri: str, server: str) -> str:
    """Path of the files in the proxy."""
    name, slash, version = model_uri.removeprefix("models:/").partition("/")
    if model_uri.startswith("models:/") and version.isdecimal():
        query = urllib.parse.urlencode({"name": name, "version": version})
        uri: str = _json(f"{server}{_API}/mlflow/model-versions/get-download-uri?{query}")["artifact_uri"]
    elif model_uri.startswith("models:/m-") and not slash:
        uri = _json(f"{server}{_API}/mlflow/logged-models/{name}")["model"]["info"]["artifact_uri"]
    else:
        raise NotProxied(f"{model_uri} names no version by its number")
    if not uri.startswith(_SCHEME) or uri.startswith(f"{_SCHEME}/"):
        raise NotProxied(f"its files are at {uri}")
    return uri.removeprefix(_SCHEME)


def _files(server: str, root: str, beneath: str) -> Iterator[str]:
    """Paths of all files, relative to ``root``."""
    query = urllib.parse.urlencode({"path": f"{root}/{beneath}" if beneath else root})
    for entry in _json(f"{server}{_PROXY}?{query}").get("files", []):
        # The server's path is relative to the requested one.
        name = PurePosixPath(entry["path"]).name
        path = f"{beneath}/{name}" if beneath else name
        if entry["is_dir"]:
            yield from _files(server, root, path)
        else:
            yield path


def _json(url: str) -> Any:
    with _open(url) as answer:
        return json.load(answer)


def _open(url: str) -> Any:
    if not url.startswith(("http://", "https://")):
        raise NotProxied(f"{url} is no HTTP address")
    token = os.getenv(_TOKEN)  # noqa: TID251 - MLflow's own setting
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked
    return urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
