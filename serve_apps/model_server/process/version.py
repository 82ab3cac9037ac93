"""A version that is loaded in this process, with what counts and guards its requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.deployment import Batching
from raylift.domain.models.replica import ObserverConfig
from raylift.ingress.access_token import App
from serve_apps.model_server.loading.loader import load_model
from serve_apps.model_server.model import Model
from serve_apps.model_server.observability.observer import Observer
from serve_apps.model_server.observability.sketch import Sketcher
from serve_apps.model_server.process.spec import VersionSpec
from serve_apps.model_server.server.asgi import ReplicaApp
from serve_apps.model_server.server.poison_requests import refuse_poison_requests

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    app: App
    """Answers requests."""
    replica_app: ReplicaApp
    observer: Observer
    sketcher: Sketcher | None
    """None for a version without a reference profile."""

    @classmethod
    def load(cls, spec: VersionSpec, kind: ProcessKind, held: Callable[[], int] = lambda: 0) -> LoadedVersion:
        """Load a version. Runs the model's own code, which may raise anything.

        Args:
            spec: The version.
            kind: Kind of this process.
            held: Returns the number of requests that wait outside of the version's application.
        """
        observer = Observer(spec.model_name, spec.version, kind, spec.counters_dir)
        if spec.observer is not None:
            observer.configure(ObserverConfig.of(spec.observer))
        model = observer.loading(load_model, spec.model_name, spec.version, spec.model_uri, spec.mlflow_url, spec.files)
        batching = batching_of(spec.batching)
        sketcher = _sketcher(model, kind, spec.sketches_dir)
        replica_app = ReplicaApp(model, spec.max_body_bytes, batching=batching, observer=observer, sketcher=sketcher)
        observer.sample(lambda: held() + replica_app.queued())
        app = refuse_poison_requests(replica_app, spec.model_name, spec.version, spec.worked_on_dir)
        return cls(app, replica_app, observer, sketcher)

    def configure(self, *, batching: Mapping[str, float] | None, observer: Mapping[str, Any]) -> None:
        """Apply settings that change without a new process."""
        self.replica_app.set_batching(batching_of(batching))
        self.observer.configure(ObserverConfig.of(observer))

    def close(self) -> None:
        """Write what is buffered. Idempotent."""
        self.observer.close()
        if self.sketcher is not None:
            self.sketcher.close()


def _sketcher(model: Model, kind: ProcessKind, directory: str | None) -> Sketcher | None:
    if model.reference is None or directory is None:
        return None
    try:
        return Sketcher(model, model.reference, kind, Path(directory))
    except OSError:
        _log.exception("%s version %s: nothing is sketched", model.name, model.version)
        return None


def batching_of(fields: Mapping[str, float] | None) -> Batching | None:
    return Batching(int(fields["max_rows"]), fields["wait_ms"]) if fields else None
