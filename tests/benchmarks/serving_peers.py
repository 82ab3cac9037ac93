"""The servers of the serving benchmark: how each is installed, started, called and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from serving_models import COLUMNS, FRAME, PIPELINES, TEXTS, sample

REPOSITORY = Path(__file__).resolve().parents[2]
SERVERS = Path(__file__).parent / "peers"
START_SECONDS = 120
KEYS = ("floor", "fast", "mlserver", "bentoml", "bentoml-batched", "mlflow", "ray")

_SAME = ("scikit-learn", "numpy", "scipy", "pandas", "lightgbm", "xgboost", "joblib", "fastapi", "uvicorn", "orjson")
_ENVIRONMENTS: Mapping[str, Sequence[str]] = {
    "plain": ("uvloop", "httptools"),
    "mlserver": ("mlserver", "mlserver-sklearn", "mlserver-lightgbm", "mlserver-xgboost"),
    "bentoml": ("bentoml",),
    "mlflow": ("mlflow",),
}
"""Packages of each environment besides the libraries of the models, which are the same everywhere."""


@dataclass(frozen=True)
class Peer:
    """A running server and the one request that is sent to it."""

    name: str
    url: str
    body: bytes
    rows: int = 1


@dataclass(frozen=True)
class Server:
    name: str
    command: Sequence[str]
    path: str
    shape: str
    """The form of its requests: ``inputs``, ``split`` (MLflow's form of a frame) or ``v2``."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    alone: bool = False
    """True for a server that loads the machine even when idle: it runs only while it is measured."""


def install(cache: Path) -> None:
    """Make the missing environments of the peers."""
    for name, packages in _ENVIRONMENTS.items():
        python = cache / name / "bin/python"
        stamp = cache / name / ".installed"
        if stamp.exists():
            continue
        print(f"· installing {name}", flush=True)
        subprocess.run(["uv", "venv", "-q", "--clear", "--python", sys.executable, str(cache / name)], check=True)
        common = _SAME if name in ("plain", "mlflow") else _SAME[: _SAME.index("fastapi")]
        pins = [f"{package}=={version(package)}" for package in common]
        subprocess.run(["uv", "pip", "install", "-q", "-p", str(python), *pins, *packages], check=True)
        stamp.touch()


def servers(model: str, directory: Path, cache: Path) -> dict[str, Server]:
    """Every peer of a model; for the frame's model MLflow only. ``{port}`` in a command is the port to listen on."""
    joblib = str(directory / "model.joblib")
    plain = (str(cache / "plain/bin/uvicorn"), "plain:app", "--port", "{port}", "--log-level", "warning", "--no-access-log")
    ours = {"FAST": "1", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'platform'}"}
    bento = str(cache / "bentoml/bin/bentoml")
    every = {
        "floor": Server("plain FastAPI + uvicorn + predict", plain, "/predict", "inputs", {"MODEL": joblib}),
        "fast": Server("the same with our fast predictor", plain, "/fast", "inputs", {"MODEL": joblib} | ours),
        "mlserver": Server(
            "MLServer", (str(cache / "mlserver/bin/mlserver"), "start", "{dir}"), f"/v2/models/{model}/infer", "v2"
        ),
        "bentoml": Server(
            "BentoML", (bento, "serve", "bento_service:Plain", "--port", "{port}"), "/predict", "inputs", {"MODEL": joblib}
        ),
        "bentoml-batched": Server(
            "BentoML, batched",
            (bento, "serve", "bento_service:Batched", "--port", "{port}"),
            "/predict",
            "inputs",
            {"MODEL": joblib},
        ),
        "mlflow": Server(
            "mlflow models serve",
            (str(cache / "mlflow/bin/mlflow"), "models", "serve", "-m", str(directory / "mlflow"), "--env-manager", "local",
             "--port", "{port}"),
            "/invocations",
            "split" if model == FRAME or model in PIPELINES else "inputs",
            {"PATH": f"{cache / 'mlflow/bin'}:{os.environ['PATH']}"},
        ),
        "ray": Server(
            "Ray Serve's idiom (FastAPI gateway to handle)",
            (sys.executable, "ray_idiom.py", "{port}", joblib),
            "/predict",
            "inputs",
            {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
            alone=True,
        ),
    }  # fmt: skip
    if model in PIPELINES:
        return {key: every[key] for key in ("floor", "mlserver", "mlflow")}
    return {"mlflow": every["mlflow"]} if model == FRAME else every


def body_of(shape: str, rows: list[Any]) -> bytes:
    """A request for rows, which are lists of numbers or records."""
    if shape == "inputs":
        return json.dumps({"inputs": rows}).encode()
    is_mixed = isinstance(rows[0], dict)
    if shape == "split":
        columns, data = (list(rows[0]), [list(row.values()) for row in rows]) if is_mixed else (COLUMNS, rows)
        return json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode()
    if is_mixed:
        tensors = [_column(name, [row[name] for row in rows]) for name in rows[0]]
        return json.dumps({"inputs": tensors, "parameters": {"content_type": "pd"}}).encode()
    values = [value for row in rows for value in row]
    tensor = {"name": "predict", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": values}
    return json.dumps({"inputs": [tensor]}).encode()


def _column(name: str, values: list[Any]) -> dict[str, Any]:
    """A column as MLServer's codec of frames takes it."""
    datatype = "BYTES" if name in TEXTS else "INT64" if isinstance(values[0], int) else "FP64"
    kind = {"parameters": {"content_type": "str"}} if name in TEXTS else {}
    return {"name": name, "shape": [len(values), 1], "datatype": datatype, "data": values, **kind}


@contextmanager
def running(server: Server, model: str, directory: Path, scratch: Path) -> Iterator[str]:
    """Start a server. Yields its address once it answers, and ends it afterwards."""
    port = _free_port()
    folder = scratch / f"mlserver-{model}"
    if "{dir}" in server.command:
        _configure_mlserver(folder, port, model, directory)
    command = [part.format(port=port, dir=folder) for part in server.command]
    # Without the repository's own variables: each peer has only its environment.
    environment = {key: os.environ[key] for key in ("HOME", "PATH", "LANG", "TMPDIR") if key in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "True", **server.environment}
    with (scratch / f"{server.name.split()[0]}-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=SERVERS, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}{server.path}"
            _wait(url, body_of(server.shape, sample(model, 1, 0)), process, server.name)
            yield url
        finally:
            _end(process)


def start_all(wanted: Sequence[Server], model: str, directory: Path, scratch: Path, stack: ExitStack) -> dict[str, str]:
    """Start servers one after the other and keep them until the stack closes. Returns the addresses by name."""
    return {server.name: stack.enter_context(running(server, model, directory, scratch)) for server in wanted}


def _configure_mlserver(folder: Path, port: int, model: str, directory: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, tuple[str, str]] = {
        "lightgbm": ("mlserver_lightgbm.LightGBMModel", "model.bst"),
        "xgboost": ("mlserver_xgboost.XGBoostModel", "model.json"),
    }
    implementation, file = kinds.get(model, ("mlserver_sklearn.SKLearnModel", "model.joblib"))
    # In the process that answers: it is faster than the pool of workers, which does not start with today's uvloop.
    settings: dict[str, Any] = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0}
    settings |= {"http_port": port, "grpc_port": _free_port(), "metrics_port": _free_port()}
    described = {"name": model, "implementation": implementation, "parameters": {"uri": str(directory / file)}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(described))


def _wait(url: str, body: bytes, process: subprocess.Popen[Any], name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{name} ended with {process.returncode}: its log is in the scratch directory")
        try:
            answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, trust_env=False, timeout=10)
        except httpx.TransportError:
            time.sleep(0.3)
            continue
        if answer.is_success:
            return
        time.sleep(0.3)
    raise SystemExit(f"{name} does not answer at {url}")


def _end(process: subprocess.Popen[Any]) -> None:
    """End a server and all processes of its session."""
    for sent, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]
