"""Child of the fork server: loads a version and answers HTTP at a socket as a replica does."""

from __future__ import annotations

import logging
import os
import site
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import uvicorn

from job_entrypoints.sandbox.model_process import confine_process
from job_entrypoints.sandbox.servers import caches_in
from raylift.domain.models.counters import ProcessKind
from serve_apps.model_server.process.version import LoadedVersion
from serve_apps.warm_pool.protocol import EventKind, WarmSpec

_log = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the gateway keeps idle connections, so that the gateway closes them."""

Report = Callable[[EventKind, str], None]


def serve(spec: WarmSpec, directory: str, listener: socket.socket, report: Report) -> int:
    """Load a version and answer until killed. Returns the exit code."""
    os.environ.update(spec.environment)  # noqa: TID251 - the process belongs to the model
    tempfile.tempdir = None  # TMPDIR is the child's own
    try:
        _confine(spec, directory)
        for packages in spec.packages_dirs:
            _add_packages(Path(packages))
        version = LoadedVersion.load(spec, ProcessKind.WARM)
    except Exception as error:  # noqa: BLE001 - loading runs the model's own code, which may raise anything
        _log.info("%s version %s does not load in a warm process: %s", spec.model_name, spec.version, error)
        report(EventKind.LOAD_FAILED, str(error))
        return 1
    report(EventKind.LOADED, "")
    config = uvicorn.Config(version.app, log_config=None, access_log=False, timeout_keep_alive=_KEEP_ALIVE_SECONDS)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _confine(spec: WarmSpec, directory: str) -> None:
    """Confine this process, which has one thread, before anything of the version is opened."""
    if spec.confinement is None:
        return
    for name, value in caches_in(directory).items():
        os.environ.setdefault(name, value)  # noqa: TID251 - the process belongs to the model
    held = confine_process(spec.confinement, directory)
    _log.info("%s version %s is confined by: %s", spec.model_name, spec.version, ", ".join(held))


def _add_packages(packages: Path) -> None:
    """Put an environment's packages before the base's.

    Raises:
        ImportError: The fork server has imported a package of the environment from the base.
    """
    imported = sorted(name for name in _importable(packages) if name in sys.modules)
    if imported:
        raise ImportError(f"Its environment has another {', '.join(imported)} than the warm process.")
    before = list(sys.path)
    site.addsitedir(str(packages))  # also reads its .pth files: one of them protects the environment from removal
    added = [path for path in sys.path if path not in before and Path(path) != packages]
    sys.path[:] = [str(packages), *before, *added]


def _importable(packages: Path) -> Iterator[str]:
    for entry in packages.iterdir():
        if entry.suffix in {".py", ".so"} or (entry.is_dir() and not entry.suffix and entry.name != "__pycache__"):
            yield entry.name.partition(".")[0]
