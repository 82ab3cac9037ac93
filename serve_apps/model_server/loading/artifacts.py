"""Downloads a model version's files from MLflow's artifact proxy without MLflow: its import takes longer than the download."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final

_API: Final = "/api/2.0"
_PROXY: Final = f"{_API}/mlflow-artifacts/artifacts"
_SCHEME: Final = "mlflow-artifacts:/"
_SECONDS: Final = 60.0
_AT_A_TIME: Final = 4
_CREDENTIALS: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_AUTH")
_TOKEN: Final = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - a variable's name


class NotProxied(Exception):
    """Only MLflow's client can download the files: they are elsewhere, or the server wants credentials."""


def fetch(model_uri: str, mlflow_url: str, directory: Path) -> None:
    """Download all files of ``models:/<name>/<version>`` or ``models:/<model id>`` into a directory.

    Raises:
        NotProxied: Only MLflow's client can download them.
    """
    # MLflow's own settings.
    found = [variable for variable in _CREDENTIALS if os.getenv(variable)]  # noqa: TID251
    if found:
        raise NotProxied(f"{found[0]} is set")
    server = mlflow_url.rstrip("/")
    try:
        root = _root(model_uri, server)
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            fetched = [threads.submit(_fetch_file, server, root, name, directory) for name in _files(server, root, "")]
            for file in fetched:
                file.result()
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError, KeyError) as error:
        raise NotProxied(f"{type(error).__name__}: {error}") from error


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


def _fetch_file(server: str, root: str, path: str, directory: Path) -> None:
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with _open(f"{server}{_PROXY}/{urllib.parse.quote(f'{root}/{path}')}") as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file, 1024 * 1024)


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
