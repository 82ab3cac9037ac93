"""The client of one platform."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, Unpack, overload

import httpx

from raylift.api import paths
from raylift.api.headers import IDEMPOTENCY_KEY, REQUEST_ID
from raylift.api.inference import InferenceResponse
from raylift.client.environments import Environments
from raylift.client.http.clock import Clock
from raylift.client.http.connection import Connection, Content
from raylift.client.inputs import to_inputs
from raylift.client.jobs.job import Job, accepted
from raylift.client.jobs.jobs import Jobs
from raylift.client.jobs.script import read_requirements, read_upload
from raylift.client.jobs.sweeps import Sweep, Sweeps, SweepValues, accepted_sweep, sweep_body
from raylift.client.jobs.train_options import SweepOptions, TrainOptions
from raylift.client.jobs.upload import upload_body
from raylift.client.models import Deployments, Models
from raylift.client.prediction import Prediction
from raylift.client.traffic import Traffic
from raylift.domain.identifiers import OWNER, OWNER_FORM

DEFAULT_URL: Final = "http://127.0.0.1:8000"


class Client:
    """Talks to one platform. Keeps its connections; safe to use from several threads; close it, or use it with ``with``.

    >>> with Client() as client:  # doctest: +SKIP
    ...     job = client.train("train.py", model="churn", requirements=["scikit-learn"]).wait()
    ...     client.predict("churn", frame)
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        owner: str | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            base_url: None: the environment's RAYLIFT_URL, else http://127.0.0.1:8000.
            api_key: Sent as ``Authorization: Bearer``. None: the environment's RAYLIFT_API_KEY, else none is sent.
            owner: For whom jobs are to run, sent as ``X-Raylift-Owner``. None: the environment's RAYLIFT_OWNER, else none is
                sent. It names, and does not authenticate.
            timeout: Seconds that one answer may take.
            transport: Sends the requests, e.g. httpx.MockTransport in tests.
            clock: Tells the time and sleeps, for tests.

        Raises:
            ValueError: the address is none, or the owner's name is none.
        """
        # The SDK is a root of its own: there is nobody above it who could hand these down.
        env = os.environ  # noqa: TID251
        self._connection = Connection(
            base_url=base_url or env.get("RAYLIFT_URL") or DEFAULT_URL,
            api_key=api_key or env.get("RAYLIFT_API_KEY") or None,
            owner=_owner(owner or env.get("RAYLIFT_OWNER")),
            timeout=timeout,
            transport=transport,
            clock=clock or Clock(),
        )
        self.jobs = Jobs(self._connection)
        self.sweeps = Sweeps(self._connection)
        self.models = Models(self._connection)
        self.deployments = Deployments(self._connection)
        self.traffic = Traffic(self._connection)
        self.environments = Environments(self._connection)

    @property
    def base_url(self) -> str:
        return self._connection.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @overload
    def train(
        self, script: str | PathLike[str] | None = None, *, sweep: None = None, **options: Unpack[TrainOptions]
    ) -> Job: ...
    @overload
    def train(
        self, script: str | PathLike[str] | None = None, *, sweep: SweepValues, **options: Unpack[SweepOptions]
    ) -> Sweep: ...
    def train(
        self,
        script: str | PathLike[str] | None = None,
        *,
        script_content: str | None = None,
        script_name: str | None = None,
        model: str | None = None,
        experiment: str | None = None,
        requirements: Iterable[str] | str | PathLike[str] = (),
        torch_backend: str | None = None,
        env: Mapping[str, str] | None = None,
        args: Iterable[str] = (),
        cpus: float = 1.0,
        memory: int | str = "2GiB",
        gpus: float = 0.0,
        timeout: int = 600,
        max_retries: int = 0,
        priority: int = 50,
        autolog: bool = True,
        deploy: bool = True,
        register: str | None = None,
        take_traffic: bool = True,
        params: Mapping[str, str | float] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        entrypoint: str | None = None,
        sweep: SweepValues | None = None,
        sweep_as: Literal["environment", "arguments"] = "environment",
        metric: str | None = None,
        mode: Literal["max", "min"] = "max",
        register_best: bool = False,
        max_parallel: int | None = None,
    ) -> Job | Sweep:
        """Upload a training script, or a project with one. Returns when the platform has committed the job to its store.

        A connection that breaks meanwhile does not make two jobs: the upload carries a key, and is sent again with it.

        Args:
            script: Path of the script, or with ``entrypoint`` that of a project's directory (or of its .zip or .tar.gz); or
            script_content: its source.
            script_name: What the platform calls it. None: the file's name, or train.py.
            model: Registered model to add a version to. None: nothing is registered.
            experiment: MLflow experiment. None: the model's name, or the script's without ``.py``.
            requirements: PEP 508 requirements, or the path of a requirements.txt. None: those of the script's own metadata
                (PEP 723), else of the project's requirements.txt, else of its pyproject.toml.
            torch_backend: Which build of PyTorch: "cpu", "cu128", … from PyTorch's own index; "auto" leaves it to the
                platform's package index. None: as the platform's settings say.
            env: Environment variables of the script.
            args: The script's ``sys.argv[1:]``.
            cpus: Logical CPUs it asks for and is held to; fractions are allowed.
            memory: Bytes, or a string such as "4GiB".
            gpus: Logical GPUs.
            timeout: Seconds the script may run.
            max_retries: Times to run again when the script itself fails.
            priority: 0 to 100, higher first.
            autolog: Call ``mlflow.autolog()`` for the script.
            deploy: Deploy the registered version.
            register: Which of the models that the script logs is registered, by its name, its class, or its run's id or name.
                None: explicitly logged models come first, then supervised ones, then the last.
            take_traffic: Let it answer requests that name only the model, where the model has no traffic table. False: the
                version that answers them now goes on.
            params: Parameters that are no secrets: environment variables of the script, shown, and MLflow params of its run.
            tags: Copied to the job, its runs and the version.
            idempotency_key: Two uploads with the same key are one job. None: a new key.
            entrypoint: The path, in the project, of the script. What .gitignore and .rayliftignore files name is left out.
            sweep: Values by parameter, e.g. ``{"lr": [0.01, 0.1], "depth": [3, 5]}``: a job for each combination.
            sweep_as: How the jobs of a sweep get their values: as environment variables, or as ``--lr 0.01`` behind ``args``.
            metric: Of a sweep: what its table is sorted by, and its best job chosen.
            mode: Whether the best has the largest value of it or the smallest.
            register_best: Of a sweep: register only the best job's model, when all have ended.
            max_parallel: Jobs of the sweep at a time. None: as many as the cluster holds.

        Returns:
            The job; with ``sweep``, the sweep.

        Raises:
            InvalidRequest: The script does not compile, a requirement does not parse, no node could hold it, …
        """
        read = read_upload(script, script_content, script_name, entrypoint)
        body: dict[str, Any] = {
            "experiment_name": experiment or model or read.script_stem,
            "model_name": model,
            "requirements": read_requirements(requirements),
            "environment": {name: str(value) for name, value in (env or {}).items()},
            "args": [str(arg) for arg in args],
            "timeout_seconds": timeout,
            "resources": {"cpus": cpus, "memory": memory, "gpus": gpus},
            "max_retries": max_retries,
            "priority": priority,
            "autolog": autolog,
            "deploy": deploy,
            **({} if take_traffic else {"take_traffic": False}),
            **({"params": dict(params)} if params else {}),
            "tags": {name: str(value) for name, value in (tags or {}).items()},
        }
        if register is not None:
            body["register"] = register
        if torch_backend is not None:
            body["torch_backend"] = torch_backend
        if sweep is not None:
            body["sweep"] = sweep_body(
                sweep, sweep_as, metric=metric, mode=mode, register_best=register_best, max_parallel=max_parallel
            )
        elif metric is not None or register_best or max_parallel is not None:
            raise ValueError("metric, register_best and max_parallel are a sweep's: give sweep, too")
        key = {IDEMPOTENCY_KEY: idempotency_key or uuid.uuid4().hex}
        sent = self._connection.json("POST", paths.UPLOAD, **upload_body(read, body), headers=key, resend=True)
        return accepted(self._connection, sent) if sweep is None else accepted_sweep(self._connection, sent)

    def predict(
        self,
        model: str,
        inputs: Any,
        *,
        version: str | int | None = None,
        alias: str | None = None,
        proba: bool = False,
        params: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        request_id: str | None = None,
    ) -> Prediction:
        """Ask a model.

        Args:
            model: Registered model.
            inputs: A pandas frame (NaN and NaT are sent as null), a 2-D array, a dict of columns, a list of dicts or a list
                of rows. A Series or a dict of scalars is one row. A 1-D array is refused: it could be a row or a column.
            version: None, and no alias: the newest that is ready.
            alias: An MLflow alias, e.g. "champion".
            proba: Ask for the probabilities of the classes as well.
            params: Inference parameters of the model.
            timeout: Seconds for all of it: a replica that has to start first, and "try again later", included.
            request_id: Sent as X-Request-ID; None: a new one. The prediction has it, for feedback (``client.models.tell``).

        Raises:
            InvalidRequest: The inputs are not what the model wants; the detail says what is.
            NotFound: No such model, version or alias.
            Unavailable: No replica was ready in time, or the version does not load.
        """
        body: dict[str, Any] = {"model_name": model, "inputs": to_inputs(inputs)}
        body |= {"model_version": str(version)} if version is not None else {}
        body |= {"alias": alias} if alias is not None else {}
        body |= {"return_probabilities": True} if proba else {}
        body |= {"params": dict(params)} if params else {}
        return self._predicted(timeout, request_id, json=body)

    def predict_csv(
        self,
        model: str,
        csv: str | PathLike[str] | bytes,
        *,
        version: str | int | None = None,
        alias: str | None = None,
        proba: bool = False,
        timeout: float = 60.0,
        request_id: str | None = None,
    ) -> Prediction:
        """Ask a model with a CSV, sent as it is: the platform types its fields as the model's columns say.

        Args:
            model: Registered model.
            csv: Path of the file, or its content as bytes. UTF-8, comma-separated, with a header.
            version: As in :meth:`predict`, and so are the others.
            alias: An MLflow alias.
            proba: Ask for the probabilities of the classes as well.
            timeout: Seconds for all of it.
            request_id: Sent as X-Request-ID.

        Raises:
            OSError: The file cannot be read.
            InvalidRequest: It is no CSV, or its columns are not what the model wants; the detail names column, row and value.
            NotFound: No such model, version or alias.
            Unavailable: No replica was ready in time, or the version does not load.
        """
        body = csv if isinstance(csv, bytes) else Path(csv).read_bytes()
        query: dict[str, str | None] = {
            "model_name": model,
            "model_version": None if version is None else str(version),
            "alias": alias,
            "return_probabilities": "true" if proba else None,
        }
        return self._predicted(timeout, request_id, content=Content(body, "text/csv"), params=query)

    def _predicted(self, timeout: float, request_id: str | None, **request: Any) -> Prediction:
        request_id = request_id or uuid.uuid4().hex
        headers = {REQUEST_ID: request_id}
        raw = self._connection.json("POST", paths.INFERENCE, headers=headers, resend=True, patience=timeout, **request)
        answer = self._connection.parse(InferenceResponse, raw, "POST", paths.INFERENCE)
        return Prediction(
            model_name=answer.model_name,
            model_version=answer.model_version,
            predictions=answer.predictions,
            inference_time_ms=answer.inference_time_ms,
            probabilities=answer.probabilities,
            classes=None if answer.classes is None else list(answer.classes),
            request_id=request_id,
            raw=raw,
        )

    def request(self, method: str, path: str, *, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The answer of any endpoint, as the platform gave it: for what has no method here. Raises as everything else does."""
        return self._connection.json(method, path, json=json, params=params)


def _owner(name: str | None) -> str | None:
    if name and not OWNER.fullmatch(name):
        raise ValueError(f"{name!r} is no owner's name (argument owner, or RAYLIFT_OWNER): write {OWNER_FORM}")
    return name or None
