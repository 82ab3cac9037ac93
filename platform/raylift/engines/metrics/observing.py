"""Configures the observer of a version's requests."""

from __future__ import annotations

from raylift.domain.models.deployment import DeploymentConfig
from raylift.domain.models.replica import ObserverConfig, PayloadFiles
from raylift.settings import PlatformSettings


def observer_config(config: DeploymentConfig, settings: PlatformSettings) -> ObserverConfig:
    """The observer's configuration, for replicas and warm processes."""
    wanted = settings.observability
    return ObserverConfig(
        slow_seconds=wanted.slow_request_seconds,
        access_log=wanted.access_log,
        payload_log=config.payload_log,
        payloads=PayloadFiles(str(settings.payloads_dir), wanted.payload_file_bytes, wanted.payload_file_seconds),
    )
