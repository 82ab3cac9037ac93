"""Description of a deployment for a warm process."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from raylift.domain.models.deployment import Deployment
from raylift.engines.environments.overlays.overlay import is_built, overlay_directory
from raylift.engines.metrics.observing import observer_config
from raylift.engines.metrics.sketch_settings import sketches_directory
from raylift.engines.mlflow_engine.credentials import replica_variables
from raylift.engines.model_confinement import confinement_of
from raylift.settings import PlatformSettings
from serve_apps.warm_pool.protocol import WarmSpec


def warm_spec(deployment: Deployment, workspace: str, settings: PlatformSettings) -> WarmSpec | None:
    """Description of a deployment; None if its environment is not built on this machine, or its files are not recorded."""
    packages = packages_of(deployment, settings)
    if packages is None or deployment.files is None:
        return None
    ingress, confinement = settings.ingress, confinement_of(deployment, settings)
    return WarmSpec(
        model_name=deployment.model_name,
        version=deployment.version,
        model_uri=deployment.model_uri,
        mlflow_url=settings.mlflow_url,
        files=deployment.files,
        max_body_bytes=settings.gateway.max_body_bytes,
        batching=asdict(deployment.config.batching) if deployment.config.batching else None,
        counters_dir=str(settings.counters_dir),
        sketches_dir=str(sketches_directory(settings.state_dir)),
        observer=observer_config(deployment.config, settings).as_json(),
        packages_dirs=[str(directory) for directory in packages],
        worked_on_dir=str(ingress.worked_on_by(deployment.model_name, deployment.version)) if ingress else None,
        confinement=confinement.as_json() if confinement is not None else None,
        environment={
            **deployment.config.environment,
            **replica_variables(settings.mlflow_secret, f"{deployment.model_name}:{deployment.version}", workspace),
        },
    )


def packages_of(deployment: Deployment, settings: PlatformSettings) -> list[Path] | None:
    """Package directories of the version's environment, none for the base; None if it is not built on this machine."""
    if not deployment.environment_lock:
        return []
    directory = overlay_directory(deployment.environment_lock, settings.environments_dir)
    if settings.environments.mechanism != "overlay" or not is_built(directory):
        return None
    return list(directory.glob("lib/python*/site-packages"))[:1] or None
