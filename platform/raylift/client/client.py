"""The client of a platform."""

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
from raylift.api.access import WhoAmI
from raylift.api.headers import IDEMPOTENCY_KEY, REQUEST_ID
from raylift.api.inference import InferenceResponse
from raylift.api.training import UploadCheck
from raylift.client.access import whoami
from raylift.client.credentials import find_key
from raylift.client.http.connection import Clock, Connection, Content
from raylift.client.inputs import index_of, to_inputs
from raylift.client.jobs.job import Job, accepted
from raylift.client.jobs.script import read_upload
from raylift.client.jobs.sweeps import Sweep, SweepValues, accepted_sweep, sweep_body
from raylift.client.jobs.upload import SweepOptions, TrainOptions, training_fields, upload_body
from raylift.client.parts import ClientParts
from raylift.client.prediction import Prediction
from raylift.domain.identifiers import OWNER, OWNER_FORM

DEFAULT_URL: Final = "http://127.0.0.1:8000"


class Client(ClientParts):
    """Client of one platform, with kept-alive connections. Thread-safe. Close it, or use it with ``with``.

    ``train`` uploads a script, ``predict`` asks a model; the rest is in ``jobs``, ``sweeps``, ``schedules``, ``batches``,
    ``models``, ``deployments``, ``traffic``, ``environments``, ``secrets``, and for admins ``keys`` and ``audit``.

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
        ca: str | PathLike[str] | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a client. It connects with its first request.

        Args:
            base_url: Address of the platform. None: environment variable RAYLIFT_URL, else http://127.0.0.1:8000.
            api_key: Sent as ``Authorization: Bearer``. None: RAYLIFT_API_KEY, else the key that `raylift login` keeps for this
                address, else that of the user's own platform.
            owner: Owner of jobs, sent as ``X-Raylift-Owner``, for a platform that asks for no keys. None: RAYLIFT_OWNER, else
                not sent.
            ca: File of certificates, in PEM, that the platform's certificate is checked with. None: RAYLIFT_CA, else
                SSL_CERT_FILE, else the authorities that this machine trusts.
            timeout: Seconds for one answer.
            transport: Sends the requests, e.g. httpx.MockTransport in tests.
            clock: Replaces the machine's clock in tests.

        Raises:
            ValueError: The address or the owner's name is malformed, or the file ``ca`` cannot be used.
        """
        # The SDK is a root: it reads its own settings.
        env = os.environ  # noqa: TID251
        url = base_url or env.get("RAYLIFT_URL") or DEFAULT_URL
        self._ca = ca or env.get("RAYLIFT_CA") or None
        self._owner = _owner(owner or env.get("RAYLIFT_OWNER"))
        self._connection = Connection(
            base_url=url,
            api_key=api_key or find_key(url, env),
            owner=self._owner,
            ca=self._ca,
            timeout=timeout,
            transport=transport,
            clock=clock or Clock(),
        )

    @property
    def base_url(self) -> str:
        """Address of the platform."""
        return self._connection.base_url

    @property
    def owner(self) -> str | None:
        """Owner of jobs that the client names; None: the platform names it."""
        return self._owner

    def with_key(self, api_key: str) -> Client:
        """A client of the same platform that sends another key."""
        return Client(self.base_url, api_key, ca=self._ca)

    def whoami(self) -> WhoAmI:
        """The caller as the platform knows it: name, role, workspace."""
        return whoami(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    @overload
    def train(
        self,
        script: str | PathLike[str] | None = None,
        *,
        sweep: None = None,
        dry_run: Literal[False] = False,
        **options: Unpack[TrainOptions],
    ) -> Job: ...
    @overload
    def train(
        self,
        script: str | PathLike[str] | None = None,
        *,
        sweep: SweepValues,
        dry_run: Literal[False] = False,
        **options: Unpack[SweepOptions],
    ) -> Sweep: ...
    @overload
    def train(
        self,
        script: str | PathLike[str] | None = None,
        *,
        dry_run: Literal[True],
        sweep: SweepValues | None = None,
        **options: Unpack[SweepOptions],
    ) -> UploadCheck: ...
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
        secrets: Iterable[str] = (),
        data: Mapping[str, str] | None = None,
        after: Iterable[str] | str = (),
        output_dataset: str | None = None,
        args: Iterable[str] = (),
        cpus: float = 1.0,
        memory: int | str = "2GiB",
        gpus: float = 0.0,
        workers: int | Mapping[str, Any] | None = None,
        timeout: int = 600,
        max_retries: int = 0,
        priority: int = 50,
        autolog: bool = True,
        deploy: bool = True,
        register: str | None = None,
        take_traffic: bool = True,
        promote: Mapping[str, Any] | str | None = None,
        isolation: Literal["sandbox", "cluster"] | None = None,
        network: Literal["full", "mlflow-only", "none"] | None = None,
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
        dry_run: bool = False,
    ) -> Job | Sweep | UploadCheck:
        """Upload a training script or a project. Returns when the platform has committed the job to its store.

        A broken connection makes no second job: the upload is repeated with the same idempotency key.

        Args:
            script: Path of the script; with ``entrypoint`` the path of a project's directory, .zip or .tar.gz.
            script_content: Source of the script, in place of ``script``.
            script_name: Name of the script on the platform. None: the file's name, or train.py.
            model: Registered model to add a version to. None: nothing is registered.
            experiment: MLflow experiment. None: the model's name, or the script's without ``.py``.
            requirements: PEP 508 requirements, or the path of a requirements.txt. None: those of the script's own metadata
                (PEP 723), else of the project's requirements.txt, else of its pyproject.toml.
            torch_backend: Build of PyTorch: "cpu", "cu128", … from PyTorch's own index; "auto" from the platform's package
                index. None: the platform's setting.
            env: Environment variables of the script.
            secrets: Names of secrets of the platform. The script gets their variables; those in ``env`` have precedence.
            data: Datasets by alias, as ``{"train": "churn-train@3"}``; without a version the newest; ``job:ID`` is what a job
                makes. The script finds the local path of each in ``RAYLIFT_DATA_TRAIN``.
            after: Ids of jobs that have to complete before it starts. If one fails, it ends without a start.
            output_dataset: Dataset that gets a version of the files which the script writes to the folder ``RAYLIFT_OUTPUT``.
            args: ``sys.argv[1:]`` of the script.
            cpus: Logical CPUs, request and limit; fractions are allowed.
            memory: Bytes, or a string such as "4GiB".
            gpus: Logical GPUs.
            workers: Ray workers that start together with the script or not at all: their count, or
                ``{"count": 4, "cpus": 2, "memory": "8GiB", "gpus": 0, "strategy": "pack" | "spread"}``, of each worker.
            timeout: Time limit of the script in seconds.
            max_retries: Number of retries when the script fails.
            priority: 0 to 100, higher first.
            autolog: Call ``mlflow.autolog()`` for the script.
            deploy: Deploy the registered version.
            register: Logged model to register: its name, its class, or the id or name of its run. None: explicitly logged
                models first, then supervised ones, then the last.
            take_traffic: Let the version answer requests that name only the model, if the model has no traffic table.
                False: the version that answers them now continues.
            promote: Gate, e.g. ``{"alias": "champion", "when": "auc >= champion.auc + 0.002"}``: the version holds back, and
                gets the alias if the condition holds. With ``"rollout": {…}`` a rollout moves it. A string is the alias.
            isolation: "sandbox": the script reaches its own work, its data and MLflow. "cluster": it may use Ray and everything
                that the platform's user may. None: "sandbox".
            network: Network of a sandboxed script: "full" is all but the platform's own ports. None: the platform's setting.
            params: Parameters without secrets: environment variables of the script and MLflow params of its run.
            tags: Tags of the job, its runs and the version.
            idempotency_key: Two uploads with the same key make one job. None: a new key.
            entrypoint: Path of the script in the project. Files that .gitignore and .rayliftignore name are not uploaded.
            sweep: Values by parameter, e.g. ``{"lr": [0.01, 0.1], "depth": [3, 5]}``: one job for each combination.
            sweep_as: Pass the values as environment variables, or as arguments ``--lr 0.01`` after ``args``.
            metric: Metric that sorts the sweep's table and chooses its best job.
            mode: The best value of the metric is the largest ("max") or the smallest ("min").
            register_best: Register only the best job's model, after all jobs of the sweep have ended.
            max_parallel: Jobs of the sweep at a time. None: as many as the cluster holds.
            dry_run: Store nothing: check the upload and tell what would happen.

        Returns:
            The job; with ``sweep``, the sweep; with ``dry_run``, the names, requirements, nodes and warnings.

        Raises:
            InvalidRequest: E.g. the script does not compile, a requirement does not parse, or no node can hold the job.
        """
        source = read_upload(script, script_content, script_name, entrypoint)
        body = training_fields(
            source,
            model=model,
            experiment=experiment,
            requirements=requirements,
            torch_backend=torch_backend,
            env=env,
            secrets=secrets,
            data=data,
            after=after,
            output_dataset=output_dataset,
            args=args,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            workers=workers,
            timeout=timeout,
            max_retries=max_retries,
            priority=priority,
            autolog=autolog,
            deploy=deploy,
            register=register,
            take_traffic=take_traffic,
            promote=promote,
            isolation=isolation,
            network=network,
            params=params,
            tags=tags,
        )
        swept = sweep_body(sweep, sweep_as, metric=metric, mode=mode, register_best=register_best, max_parallel=max_parallel)
        body |= {} if swept is None else {"sweep": swept}
        if dry_run:
            check = {**upload_body(source, body), "params": {"dry_run": "true"}, "resend": True}
            return self._connection.view(UploadCheck, "POST", paths.UPLOAD, **check)
        key = {IDEMPOTENCY_KEY: idempotency_key or uuid.uuid4().hex}
        answer = self._connection.json("POST", paths.UPLOAD, **upload_body(source, body), headers=key, resend=True)
        return accepted(self._connection, answer) if sweep is None else accepted_sweep(self._connection, answer)

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
        """Get predictions of a model.

        Args:
            model: Registered model.
            inputs: A pandas frame (NaN and NaT are sent as null), a 2-D array, a dict of columns, a list of dicts or a list
                of rows. A Series or a dict of scalars is one row. A 1-D array is refused: it could be a row or a column.
            version: Version of the model. None, and no alias: as the traffic table says, else the newest that is ready.
            alias: An MLflow alias, e.g. "champion".
            proba: Also get the probabilities of the classes.
            params: Inference parameters of the model.
            timeout: Seconds for the whole call, with retries and the start of a replica.
            request_id: Sent as X-Request-ID, for ``client.models.send_feedback``. None: a new id.

        Returns:
            The predictions; ``.to_pandas()`` gives a frame with the index of ``inputs``.

        Raises:
            InvalidRequest: The inputs do not fit the model; the detail describes inputs that would.
            NotFound: The model, version or alias does not exist.
            Unavailable: No replica was ready in time, or the version does not load.
        """
        body: dict[str, Any] = {"model_name": model, "inputs": to_inputs(inputs)}
        body |= {"model_version": str(version)} if version is not None else {}
        body |= {"alias": alias} if alias is not None else {}
        body |= {"return_probabilities": True} if proba else {}
        body |= {"params": dict(params)} if params else {}
        return self._predict(timeout, request_id, index=index_of(inputs), json=body)

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
        """Get predictions for a CSV. The platform gives its fields the types of the model's columns.

        Args:
            model: Registered model.
            csv: Path of the file, or its content as bytes. UTF-8, comma-separated, with a header.
            version: As in :meth:`predict`, also the following arguments.
            alias: An MLflow alias.
            proba: Also get the probabilities of the classes.
            timeout: Seconds for the whole call.
            request_id: Sent as X-Request-ID.

        Raises:
            OSError: The file cannot be read.
            InvalidRequest: The file is no CSV, or its columns do not fit the model; the detail names column, row and value.
            NotFound: The model, version or alias does not exist.
            Unavailable: No replica was ready in time, or the version does not load.
        """
        body = csv if isinstance(csv, bytes) else Path(csv).read_bytes()
        query: dict[str, str | None] = {
            "model_name": model,
            "model_version": None if version is None else str(version),
            "alias": alias,
            "return_probabilities": "true" if proba else None,
        }
        return self._predict(timeout, request_id, content=Content(body, "text/csv"), params=query)

    def _predict(self, timeout: float, request_id: str | None, *, index: Any = None, **request: Any) -> Prediction:
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
            index=index,
            raw=raw,
        )

    def request(self, method: str, path: str, *, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of any endpoint, for endpoints without a method here. Raises RayliftErrors like all methods."""
        return self._connection.json(method, path, json=json, params=params)


def _owner(name: str | None) -> str | None:
    if name and not OWNER.fullmatch(name):
        raise ValueError(f"{name!r} is no owner's name (argument owner, or RAYLIFT_OWNER): write {OWNER_FORM}")
    return name or None
