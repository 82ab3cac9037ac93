"""Digests of a model version's files, wherever MLflow keeps them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from raylift.engines.model_files.proxy import NotProxied, fetch, read_digests, sha256_of


def file_digests(model_uri: str, mlflow_url: str) -> dict[str, str]:
    """Return path → SHA-256 of a version's files, in hexadecimal; empty without files.

    Files of MLflow's artifact proxy are read once and not stored. Others are downloaded into a temporary directory.

    Raises:
        Exception: MLflow's client cannot download them.
    """
    try:
        return read_digests(model_uri, mlflow_url)
    except NotProxied:
        with tempfile.TemporaryDirectory(prefix="raylift-digest-") as directory:
            return digests_below(download_with_client(model_uri, mlflow_url, Path(directory)))


def download(model_uri: str, mlflow_url: str, directory: Path) -> tuple[Path, dict[str, str]]:
    """Download a version's files below ``directory``.

    Returns:
        Directory of the copy, and path → SHA-256 of its files. The digests are of the copy, so that what was checked is loaded.

    Raises:
        Exception: MLflow's client cannot download them.
    """
    try:
        return directory / "model", fetch(model_uri, mlflow_url, directory / "model")
    except NotProxied:
        copy = download_with_client(model_uri, mlflow_url, directory / "client")
        return copy, digests_below(copy)


def download_with_client(model_uri: str, mlflow_url: str, directory: Path) -> Path:
    """Download a version's files with MLflow's client, which reads every kind of artifact store. Returns their directory."""
    # Imported here: most models do without it, and it takes seconds.
    import mlflow
    import mlflow.artifacts

    mlflow.set_tracking_uri(mlflow_url)
    directory.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(directory)))


def digests_below(directory: Path) -> dict[str, str]:
    """Return path → SHA-256 of all files below a directory, in hexadecimal."""
    found: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(directory).as_posix()] = sha256_of(file)
    return found
