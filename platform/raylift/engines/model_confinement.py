"""Files and ports that a process which loads a model version may use. A pickle runs code as soon as it is loaded."""

from __future__ import annotations

from raylift.domain.models.deployment import Deployment
from raylift.domain.models.replica import Confinement
from raylift.engines.environments.overlays.overlay import overlay_directory
from raylift.engines.metrics.counter_files import counters_directory
from raylift.engines.metrics.payload_files import version_directory
from raylift.engines.metrics.sketch_settings import sketches_directory
from raylift.settings import PlatformSettings


def confinement_of(deployment: Deployment, settings: PlatformSettings) -> Confinement | None:
    """Return the confinement of a version's processes; None where the settings want none."""
    if settings.serving.isolation == "none":
        return None
    version = deployment.model_name, deployment.version
    lock = deployment.environment_lock
    overlay = [overlay_directory(lock, settings.environments_dir)] if lock else []
    written = [
        counters_directory(settings.counters_dir, *version),
        counters_directory(sketches_directory(settings.state_dir), *version),
        version_directory(settings.payloads_dir, *version),
    ]
    if settings.ingress is not None:
        written.append(settings.ingress.worked_on_by(*version))
    protected = [settings.state_dir, *([settings.session_dir] if settings.session_dir is not None else [])]
    return Confinement(
        protected=[str(path) for path in protected],
        read=[str(path) for path in (*overlay, *(path.expanduser() for path in settings.serving.readable_paths))],
        write=[str(path) for path in written],
        refused_ports=settings.refused_ports,
        required=settings.serving.isolation == "required",
    )
