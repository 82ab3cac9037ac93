"""Client of Ray's Jobs REST API, on the dashboard.

It uses plain HTTP. Ray's ``JobSubmissionClient`` has no time-outs, calls the server in its constructor, and lets RAY_ADDRESS
override the address in its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import httpx

from raylift.domain.errors import EngineUnavailable, PlatformError
from raylift.domain.job import Resources

_TIMEOUT: Final = httpx.Timeout(30.0, connect=3.0)
_NODE_ID: Final = "ray.io/node-id"
"""Label of each node; its value is the node's id."""


class RayJobStatus(StrEnum):
    """Ray's status of a submission."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


RAY_JOB_ENDED: Final = frozenset({RayJobStatus.STOPPED, RayJobStatus.SUCCEEDED, RayJobStatus.FAILED})


@dataclass(frozen=True, slots=True)
class RayJob:
    """A submission in Ray's words."""

    submission_id: str
    status: RayJobStatus
    entrypoint: str
    message: str | None = None
    error_type: str | None = None
    """Ray's ``JobErrorType``, e.g. ``RUNTIME_ENV_SETUP_FAILURE``."""
    exit_code: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    submitted_at: datetime | None = None
    node_id: str | None = None
    """Node on which it runs or ran; None before it starts."""


@dataclass(frozen=True, slots=True)
class RayRelease:
    version: str
    commit: str


class SubmissionRefused(PlatformError):
    """Ray rejected a submission."""

    code = "submission_error"


class RayJobs:
    """Ray's Jobs REST API. Every call is bounded in time and may be repeated.

    Raises:
        EngineUnavailable: from every method, when the dashboard does not answer.
    """

    def __init__(
        self,
        dashboard_url: str,
        token_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        *,
        node_labels: Mapping[str, str] | None = None,
    ) -> None:
        """Make a client.

        Args:
            dashboard_url: address of the dashboard.
            token_file: the token that the dashboard requires; None: it requires none.
            transport: sends the requests, in tests.
            node_labels: labels of the nodes that take jobs; None: all do.
        """
        self._node_labels = dict(node_labels or {})
        headers = {"Authorization": f"Bearer {token_file.read_text(encoding='ascii').strip()}"} if token_file else {}
        # trust_env=False: the dashboard is on this machine or this cluster, never behind the user's proxy.
        self._http = httpx.Client(
            base_url=dashboard_url, timeout=_TIMEOUT, transport=transport, headers=headers, trust_env=False
        )

    def submit(
        self,
        submission_id: str,
        entrypoint: str,
        resources: Resources,
        *,
        runtime_env: Mapping[str, Any],
        metadata: Mapping[str, str],
        avoid_nodes: Sequence[str] = (),
        on_node: str | None = None,
        node_labels: Mapping[str, str] | None = None,
    ) -> None:
        """Submit. An existing submission of this id counts as success.

        Ray chooses a node that has ``node_labels``, but none of ``avoid_nodes``.
        With ``on_node`` it starts there, and holds GPUs alone: its CPUs and memory are those of its placement group.

        Raises:
            SubmissionRefused: Ray rejects the request.
        """
        body: dict[str, Any] = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "entrypoint_num_cpus": resources.cpus,
            "entrypoint_memory": resources.memory_bytes,
            "runtime_env": dict(runtime_env),
            "metadata": dict(metadata),
        }
        if resources.gpus:
            body["entrypoint_num_gpus"] = resources.gpus
        if on_node is not None:
            # Without any resource Ray starts it at once: what it uses is set aside already.
            body |= {"entrypoint_num_cpus": 0, "entrypoint_memory": 0}
        selector = {
            **self._node_labels,
            **(node_labels or {}),
            **({_NODE_ID: f"!in({','.join(avoid_nodes)})"} if avoid_nodes else {}),
            **({_NODE_ID: f"in({on_node})"} if on_node is not None else {}),
        }
        if selector:
            body["entrypoint_label_selector"] = selector
        answer = self._call("POST", "/api/jobs/", json=body)
        # Ray answers 500 for an id that exists; only the text tells.
        if answer.is_success or "already exists" in answer.text:
            return
        if answer.status_code >= 500 and self.get(submission_id) is None and _is_transient(answer.text):
            raise EngineUnavailable(f"Ray could not take the submission just now: {_last_line(answer.text)}")
        raise SubmissionRefused(f"Ray refused the submission: {_last_line(answer.text)}")

    def list(self) -> list[RayJob]:
        """All submissions that Ray remembers, without drivers that were not submitted."""
        answer = self._call("GET", "/api/jobs/")
        _expect_success(answer)
        return [_ray_job(item) for item in answer.json() if item.get("type") == "SUBMISSION"]

    def get(self, submission_id: str) -> RayJob | None:
        """One submission; None if Ray does not know it."""
        answer = self._call("GET", f"/api/jobs/{submission_id}")
        if answer.status_code == 404:
            return None
        _expect_success(answer)
        return _ray_job(answer.json())

    def stop(self, submission_id: str) -> None:
        """Ask Ray to stop a submission. Does nothing for unknown and ended ones.

        It does not stop a pending submission (ray#58353). That one's wrapper finds the stop file before it starts the script.
        """
        answer = self._call("POST", f"/api/jobs/{submission_id}/stop")
        if answer.status_code not in {400, 404}:
            _expect_success(answer)

    def delete(self, submission_id: str) -> None:
        """Delete the record of an ended submission. Does nothing for unknown and running ones."""
        answer = self._call("DELETE", f"/api/jobs/{submission_id}")
        if answer.status_code not in {400, 404, 500}:
            _expect_success(answer)

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, json: Any = None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=json)
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"Ray's dashboard at {self._http.base_url} does not answer: {error}") from error


def ray_release() -> RayRelease:
    """The installed Ray. Needs no connection."""
    import ray  # On demand: most processes that load the services never need it.

    return RayRelease(ray.__version__, ray.__commit__)


def _ray_job(item: Mapping[str, Any]) -> RayJob:
    submitted = item.get("start_time")
    return RayJob(
        submission_id=item["submission_id"],
        status=RayJobStatus(item["status"]),
        entrypoint=item.get("entrypoint") or "",
        message=item.get("message"),
        error_type=item.get("error_type"),
        exit_code=item.get("driver_exit_code"),
        metadata=item.get("metadata") or {},
        submitted_at=datetime.fromtimestamp(submitted / 1000, UTC) if submitted else None,
        node_id=item.get("driver_node_id"),
    )


def _expect_success(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise EngineUnavailable(f"Ray's dashboard answered {answer.status_code}: {_last_line(answer.text)}")


def _is_transient(text: str) -> bool:
    return any(sign in text for sign in ("No available agent", "Timeout", "timed out", "UNAVAILABLE", "Connection"))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:500] if lines else "(no text)"
