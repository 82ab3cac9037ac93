"""Deploys model versions to Ray Serve, one application each. Works inside a process that is connected to Ray."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview

from raylift.api.paths import version_route
from raylift.domain.errors import EngineUnavailable, SecretUnreadable
from raylift.domain.identifiers import DEFAULT_WORKSPACE, application_name, version_of_application
from raylift.domain.models.deployment import READ_AT_START, ApplicationSnapshot, ApplicationState, Deployment
from raylift.domain.models.files import NOT_AS_REGISTERED
from raylift.domain.models.replica import CANNOT_ANSWER, CANNOT_CONFINE, LACKS_PLUGIN, MODEL_PROCESS, ModelProcess, ReplicaSpec
from raylift.engines.environments import RAY_UV, build_failure_in, runtime_env_for
from raylift.engines.metrics.observing import observer_config
from raylift.engines.metrics.sketch_settings import sketches_directory
from raylift.engines.mlflow_engine.client import CLIENT_ENVIRONMENT
from raylift.engines.mlflow_engine.credentials import replica_variables
from raylift.engines.model_confinement import confinement_of
from raylift.engines.ray_engine.crash_loops import CrashLoops
from raylift.settings import PlatformSettings

log = logging.getLogger(__name__)

_STARTUP_FAILED: Final = "REPLICA_STARTUP_FAILED"
_HEALTH_CHECK_FAILED: Final = "HEALTH_CHECK_FAILED"
_MESSAGE_LIMIT: Final = 4000
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")


class RayServe:
    """Applications of model versions. The gateway's application is not touched.

    Args:
        build: Makes the application of a version: ``serve_apps.model_server.ray.app.build``.
        workspace_of: Workspace of a model, by its name: its replicas read there.

    Raises:
        EngineUnavailable: From every method, when Ray Serve does not answer.
    """

    def __init__(
        self,
        settings: PlatformSettings,
        build: Callable[[ReplicaSpec], serve.Application],
        workspace_of: Callable[[str], str] = lambda _: DEFAULT_WORKSPACE,
    ) -> None:
        self._settings = settings
        self._build = build
        self._workspace_of = workspace_of
        self._crash_loops = CrashLoops()
        self._left_to_ray: set[tuple[str, str]] = set()
        """Versions whose environment Ray builds by itself. A new supervisor detects them again."""

    def deploy(self, wanted: Iterable[tuple[Deployment, bool]]) -> dict[tuple[str, str], str]:
        """Submit deployments to Ray Serve without waiting for them. An existing one is changed in place if possible.

        Args:
            wanted: Pairs of a deployment and its load check: true starts one replica now, to check that the model loads.

        Returns:
            (model name, version) → reason, for deployments that Ray Serve refused.
        """
        refused: dict[tuple[str, str], str] = {}
        for deployment, load_check in wanted:
            try:
                # Building may fail too, e.g. for an amount of CPU finer than Ray's. The others must not wait for that.
                target = serve.RunTarget(
                    self._build(self._replica_spec(deployment, load_check=load_check)),
                    name=application_name(deployment.model_name, deployment.version),
                    route_prefix=version_route(deployment.model_name, deployment.version),
                )
                serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
            except (RayServeException, ValueError) as error:
                refused[deployment.model_name, deployment.version] = f"Ray Serve refused the deployment: {error}"
            except SecretUnreadable as error:
                refused[deployment.model_name, deployment.version] = f"Its variables cannot be read: {error}"
            except (RayError, TimeoutError, ConnectionError) as error:
                raise EngineUnavailable(f"Ray Serve does not answer: {error}") from error
        return refused

    def leave_environment_to_ray(self, model_name: str, version: str) -> None:
        """Let Ray build the environment from the next ``deploy`` of the version on: some node lacks the plugin."""
        self._left_to_ray.add((model_name, version))

    def delete(self, keys: Sequence[tuple[str, str]]) -> None:
        """Delete applications without waiting for their last requests."""
        for name, version in keys:
            try:
                serve.delete(application_name(name, version), _blocking=False)
            except (RayError, RayServeException, TimeoutError, ConnectionError) as error:
                raise EngineUnavailable(f"Ray Serve does not answer: {error}") from error

    def observe(self) -> dict[tuple[str, str], ApplicationSnapshot]:
        """State of each version's application, by (model name, version). One in a crash loop has failed."""
        try:
            applications = serve.status().applications
        except (RayError, RayServeException, TimeoutError, ConnectionError) as error:
            raise EngineUnavailable(f"Ray Serve does not answer: {error}") from error
        found = ((version_of_application(name), overview) for name, overview in applications.items())
        seen = {key: _seen(overview) for key, overview in found if key is not None}
        return self._crash_loops.judged(seen, time.monotonic())

    def _replica_spec(self, deployment: Deployment, *, load_check: bool) -> ReplicaSpec:
        config, serving, ingress = deployment.config, self._settings.serving, self._settings.ingress
        left_to_ray = (deployment.model_name, deployment.version) in self._left_to_ray
        # The model's process gets all others later: Ray shows env_vars to its users.
        early = {name: value for name, value in config.environment.items() if name.startswith(READ_AT_START)}
        model_process = ModelProcess(
            f"{deployment.model_name}:{deployment.version}",
            early,
            confinement_of(deployment, self._settings),
            # As Ray sets it for its workers.
            threads=max(1, int(config.cpus)),
        )
        runtime_env: dict[str, Any] = {
            **runtime_env_for(
                deployment.environment_lock,
                self._settings.environments_dir,
                mechanism=RAY_UV if left_to_ray else self._settings.environments.mechanism,
                max_bytes=self._settings.environments.max_bytes,
                starts_workers=False,
            ),
            "env_vars": {
                MODEL_PROCESS: model_process.as_text(),
                "MLFLOW_TRACKING_URI": self._settings.mlflow_url,
                **CLIENT_ENVIRONMENT,
                **replica_variables(
                    self._settings.mlflow_secret,
                    f"{deployment.model_name}:{deployment.version}",
                    self._workspace_of(deployment.model_name),
                ),
            },
        }
        return ReplicaSpec(
            model_name=deployment.model_name,
            version=deployment.version,
            model_uri=deployment.model_uri,
            mlflow_url=self._settings.mlflow_url,
            files=deployment.files,
            config=config,
            initial_replicas=max(1, config.min_replicas) if load_check else None,
            upscale_delay_seconds=_first(config.upscale_delay_s, serving.upscale_delay_seconds),
            downscale_delay_seconds=_first(config.downscale_delay_s, serving.downscale_delay_seconds),
            runtime_env=runtime_env,
            # A change of these needs new processes; anything else is changed in place.
            code_version=f"{config.cpus}/{config.memory_bytes}{_gpus(config.gpus)}{_digest(config.environment)}",
            max_body_bytes=self._settings.gateway.max_body_bytes,
            node_labels=self._settings.node_labels,
            ingress_token=ingress.token if ingress else None,
            counters_dir=str(self._settings.counters_dir),
            sketches_dir=str(sketches_directory(self._settings.state_dir)),
            observer=observer_config(config, self._settings),
            worked_on_dir=str(ingress.worked_on_by(deployment.model_name, deployment.version)) if ingress else None,
        )


def _digest(environment: Mapping[str, str]) -> str:
    """Suffix of the code version that changes with the variables; empty without any."""
    return f"/{sha256(repr(sorted(environment.items())).encode()).hexdigest()[:16]}" if environment else ""


def _gpus(gpus: float) -> str:
    """Suffix of the code version; empty without any, as before there were some."""
    return f"/{gpus:g} GPU" if gpus else ""


def _first(own: float | None, default: float) -> float:
    return default if own is None else own


def _seen(overview: ApplicationStatusOverview) -> ApplicationSnapshot:
    deployments = list(overview.deployments.values())
    replicas = sum(
        count for deployment in deployments for state, count in deployment.replica_states.items() if state == "RUNNING"
    )
    match _value(overview.status):
        case "RUNNING":
            return ApplicationSnapshot(ApplicationState.RUNNING, replicas)
        case "DELETING":
            return ApplicationSnapshot(ApplicationState.DELETING, replicas)
        case "DEPLOY_FAILED":
            return _failed(overview, replicas)
        case _ if any(_startup_failed(deployment) or _is_hopeless(deployment.message) for deployment in deployments):
            return _failed(overview, replicas)
        case _:
            died = any(_replica_died(deployment) for deployment in deployments)
            return ApplicationSnapshot(ApplicationState.STARTING, replicas, _progress(deployments), replica_died=died)


def _failed(overview: ApplicationStatusOverview, replicas: int) -> ApplicationSnapshot:
    reason = _reason(overview.message, list(overview.deployments.values()))
    return ApplicationSnapshot(ApplicationState.FAILED, replicas, reason, lacks_plugin=LACKS_PLUGIN in reason)


def _replica_died(deployment: DeploymentStatusOverview) -> bool:
    """True while Ray Serve replaces a replica that has answered before and does no more."""
    return _value(deployment.status_trigger) == _HEALTH_CHECK_FAILED and _value(deployment.status) == "UNHEALTHY"


def _startup_failed(deployment: DeploymentStatusOverview) -> bool:
    """True if Ray Serve has given up a deployment. While it still tries, the deployment is UPDATING."""
    return _value(deployment.status_trigger) == _STARTUP_FAILED and _value(deployment.status) in {"UNHEALTHY", "DEPLOY_FAILED"}


def _is_hopeless(message: str) -> bool:
    """True for an error of a replica's start that a restart does not help."""
    return any(phrase in message for phrase in (CANNOT_ANSWER, CANNOT_CONFINE, NOT_AS_REGISTERED))


def _value(status: Any) -> Any:
    return getattr(status, "value", status)


def _reason(message: str, deployments: Collection[DeploymentStatusOverview]) -> str:
    """The error that the replica's constructor raised, without Ray's frames around it."""
    texts = [deployment.message for deployment in deployments if deployment.message] or [message]
    text = _ANSI.sub("", texts[0]).strip()
    if unbuilt := build_failure_in(text):
        return unbuilt
    _, raised, cause = text.rpartition("\nRuntimeError: ")
    return (cause if raised else text)[-_MESSAGE_LIMIT:].strip()


def _progress(deployments: Collection[DeploymentStatusOverview]) -> str | None:
    """Ray Serve's message while it starts or recovers, e.g. that no node has room for the replica."""
    texts = [_ANSI.sub("", deployment.message).strip() for deployment in deployments if deployment.message]
    return texts[0][:_MESSAGE_LIMIT] if texts else None
