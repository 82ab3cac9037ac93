"""Steps of a start, in order. Every process is recorded before its start, so that it can be ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from raylift.domain.errors import PlatformError
from raylift.domain.nodes.labels import CONTROL, NODE_LABEL
from raylift.engines.attempts.old_variables import remove_old_variables
from raylift.ingress.allowed_hosts import ANY_HOST
from raylift.ingress.haproxy import IngressFiles
from raylift.ingress.spec import IngressSpec
from raylift.launcher.errors import LauncherError
from raylift.launcher.nodes.document import document_file, node_document, write_document
from raylift.launcher.parts.driver_process import DriverProcess
from raylift.launcher.parts.ingress import ingress_spec, write_ingress
from raylift.launcher.parts.mlflow_server import MlflowFiles, prepare_mlflow, start_mlflow
from raylift.launcher.parts.ray_head import start_head, wait_for_head
from raylift.launcher.processes.platform_processes import pids_by_component
from raylift.launcher.processes.starting import answers, start, tail, wait_for
from raylift.launcher.progress import Progress
from raylift.launcher.run.access_files import admin_key_file, mlflow_secret, mlflow_secret_file, prepare_keys
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.environment import base_environment, head_environment, mlflow_environment
from raylift.launcher.run.gcs_storage import gcs_storage, identity
from raylift.launcher.run.node_types import node_types
from raylift.launcher.run.ports import BLOCK_SIZE, PlatformPorts, is_free
from raylift.launcher.run.private_files import make_files_private, make_private
from raylift.launcher.run.record import RunRecord, local_host, write_record
from raylift.launcher.run.secret_keys import key_file, prepare_encryption_keys
from raylift.launcher.run.session import make_session, session_path, temp_path
from raylift.launcher.run.tokens import join_token_file, make_join_token, make_ray_token
from raylift.ray_internals.external_storage import VARIABLE as STORAGE_VARIABLE
from raylift.run_settings import ClusterSettings, IngressSettings
from raylift.settings import AuthMode, JobSettings, PlatformSettings
from raylift.store import open_store

DATABASE_VARIABLE: Final = "RAYLIFT_DATABASE_URL"


def new_record(state_dir: Path, config: LocalConfig, ports: PlatformPorts, *, config_file: Path | None = None) -> RunRecord:
    """Make the record of a new start."""
    return RunRecord(
        instance=identity(config, state_dir).instance,
        started_at=datetime.now(UTC),
        host=config.host,
        ports=ports.as_dict(),
        state_dir=state_dir,
        session_dir=session_path(state_dir),
        stop_grace_seconds=config.jobs.stop_grace_seconds,
        tls_name=_tls_name(config),
        config_file=config_file,
        auth=config.auth,
        accepts_nodes=config.accept_nodes,
    )


def _tls_name(config: LocalConfig) -> str | None:
    """Return the name by which clients call an API with TLS: an allowed host, else the address that it listens on."""
    if config.gateway.tls.cert is None:
        return None
    return next((name for name in config.gateway.allowed_hosts if name != ANY_HOST), local_host(config.host))


def platform_settings(config: LocalConfig, record: RunRecord, environ: Mapping[str, str] | None = None) -> PlatformSettings:
    """Make the settings of the gateway and the supervisor."""
    environ = os.environ if environ is None else environ
    ingress_token = identity(config, record.state_dir).ingress_token
    return PlatformSettings(
        state_dir=record.state_dir,
        database_url=database_url(config, record.state_dir, environ),
        encryption_key_file=key_file(record, environ),
        mlflow_url=record.mlflow_url,
        ray_dashboard_url=record.ray_dashboard_url,
        ray_token_file=record.ray_token_file,
        gateway_url=record.gateway_url,
        nodes_gateway_url=record.url if record.accepts_nodes else None,
        session_dir=record.session_dir,
        internal_ports=_internal_ports(record),
        ingress=IngressSettings(directory=IngressFiles(record.session_dir).haproxy, token=ingress_token),
        auth=config.auth,
        node_types=node_types(config),
        oidc=config.oidc,
        reports=config.reports,
        webhooks=config.webhooks,
        datasets=config.datasets,
        mlflow_secret=mlflow_secret(record.state_dir) if config.auth is AuthMode.KEYS else None,
        jobs=_jobs(config),
        batches=config.batches,
        serving=config.serving,
        supervisor=config.supervisor,
        # With TLS the platform calls itself by another address than others do.
        gateway=config.gateway.model_copy(
            update={"allowed_hosts": (*config.gateway.allowed_hosts, local_host(record.host))} if record.tls_name else {}
        ),
        environments=config.environments,
        retention=config.retention,
        observability=config.observability,
    )


def _jobs(config: LocalConfig) -> JobSettings:
    """Return the settings of jobs: with a storage, scripts on nodes wait as long for the head as the nodes do."""
    if config.cluster.gcs_storage is None:
        return config.jobs
    seconds = max(config.jobs.contact_seconds, float(config.cluster.head_outage_seconds))
    return config.jobs.model_copy(update={"contact_seconds": seconds})


def _internal_ports(record: RunRecord) -> str:
    """List the ports of Ray, Serve and HAProxy, gRPC's, and that of the API with TLS: ``gateway_url`` has another one."""
    ports = record.platform_ports
    more = (ports.grpc, ports.gateway if record.tls_name else None)
    return ",".join([f"{ports.block}-{ports.block + BLOCK_SIZE - 1}", *(str(port) for port in more if port is not None)])


def database_url(config: LocalConfig, state_dir: Path, environ: Mapping[str, str] | None = None) -> str:
    """Return the store's URL: from the environment, else the configuration, else SQLite in the state directory."""
    environ = os.environ if environ is None else environ
    return environ.get(DATABASE_VARIABLE) or config.database or f"sqlite:///{state_dir / 'raylift.db'}"


def start_everything(config: LocalConfig, record: RunRecord, progress: Progress) -> RunRecord:
    """Start all parts and return the record with the ids of the main processes.

    Raises:
        LauncherError: a part did not start. Parts that were started before still run.
    """
    settings = platform_settings(config, record)
    timeout = config.startup.timeout_seconds
    write_record(record)
    make_session(record.session_dir)
    logs_dir = record.state_dir / "logs"
    make_private(logs_dir)
    settings.attempts_dir.mkdir(mode=0o700, exist_ok=True)
    settings.environments_dir.mkdir(mode=0o700, exist_ok=True)
    ingress = ingress_spec(config, settings, record)
    write_ingress(ingress, record)

    make_ray_token(record.state_dir)
    base = base_environment(config.environment, record.instance, temp_path(record.session_dir))
    storage = gcs_storage(config, record.instance)
    outage = None if storage is None else config.cluster.head_outage_seconds
    head_env = head_environment(
        base, record, attempts_dir=settings.attempts_dir, cores=config.job_cpus(), outage_seconds=outage
    )
    if record.accepts_nodes:
        settings = settings.model_copy(update={"cluster": _cluster(config, record, base, head_env, ingress)})
    with progress.step("Store", f"migrations of {_without_password(settings.database_url)}"):
        prepare_encryption_keys(record, os.environ)
        news = _prepare_store(settings, record)
        remove_old_variables(settings.attempts_dir)
    for sentence in news:
        progress.say(sentence)
    make_files_private(record.state_dir, "raylift.db*")
    files, mlflow_env = MlflowFiles(record.state_dir), mlflow_environment(base)
    prepare_mlflow(files, mlflow_env)

    # MLflow and Ray are the slowest, so they start at the same time.
    mlflow = start_mlflow(
        files,
        mlflow_env,
        port=record.ports["mlflow"],
        workers=config.mlflow.workers,
        protected=[record.state_dir, record.session_dir],
        readable=[path.expanduser() for path in config.mlflow.readable_paths],
        secret_file=mlflow_secret_file(record.state_dir) if config.auth is AuthMode.KEYS else None,
        workspaces=config.auth is AuthMode.KEYS or files.has_workspaces(),
        host=record.node_address,
    )
    ray_log = logs_dir / "ray-start.log"
    own_env = head_env if storage is None else {**head_env, STORAGE_VARIABLE: storage.as_json()}
    head = start_head(config, record, own_env, log=ray_log, labels=_labels(settings))
    with progress.step("Ray", f"the head on {record.ray_address} and its dashboard"):
        wait_for_head(head, record, log=ray_log, timeout=timeout)
    driver = DriverProcess(record, settings, head_env, logs_dir, remembers=storage is not None)
    with progress.step("MLflow", f"{record.mlflow_url}/health"):
        wait_for(
            lambda: answers(f"{record.mlflow_url}/health"),
            what="MLflow",
            timeout=timeout,
            process=mlflow,
            log_tail=lambda: tail(files.log),
        )
        files.mark_created()
    with progress.step("Ray Serve", "its controller and HAProxy"):
        driver.wait_for("serve", what="Ray Serve", timeout=timeout)
    with progress.step("Supervisor", "its first look at the store"):
        driver.wait_for("supervisor", what="The supervisor", timeout=timeout)
    with progress.step("Gateway", f"its first process behind {record.gateway_url}"):
        driver.wait_for("gateway", what="The gateway", timeout=timeout)
    if "grpc" in record.ports:
        with progress.step("gRPC", f"{record.host}:{record.ports['grpc']}"):
            _start_grpc(record, base, config, logs_dir / "grpc.log")
    with progress.step("Platform", f"{record.gateway_url}/readyz"):
        _wait_until_ready(record, driver, timeout)
    done = record.model_copy(update={"pids": pids_by_component(record.instance), "ready": True})
    write_record(done)
    return done


def _cluster(
    config: LocalConfig, record: RunRecord, base: Mapping[str, str], head_env: Mapping[str, str], ingress: IngressSpec
) -> ClusterSettings:
    """Write the node document and the join token for the gateway."""
    make_join_token(record.state_dir)
    document = node_document(config, record, base, head_env, ingress)
    write_document(document_file(record), document)
    return ClusterSettings(
        label=document.hash, document_file=document_file(record), join_token_file=join_token_file(record.state_dir)
    )


def _labels(settings: PlatformSettings) -> dict[str, str]:
    return {} if settings.cluster is None else {NODE_LABEL: settings.cluster.label, **CONTROL}


def _start_grpc(record: RunRecord, environment: Mapping[str, str], config: LocalConfig, log: Path) -> None:
    tls = config.gateway.tls
    command = [
        *(sys.executable, "-m", "serve_apps.grpc_front"),
        *("--listen", f"{record.host}:{record.ports['grpc']}"),
        *("--ingress", record.gateway_url),
        *("--max-body-bytes", str(config.gateway.max_body_bytes)),
        *(("--tls-cert", str(tls.cert)) if tls.cert else ()),
        *(("--tls-key", str(tls.key)) if tls.cert and tls.key else ()),
    ]
    process = start(command, directory=record.state_dir, environment=environment, log=log, restarting=True)
    wait_for(
        lambda: not is_free(record.ports["grpc"], record.host),
        what="gRPC",
        timeout=config.startup.timeout_seconds,
        process=process,
        log_tail=lambda: tail(log),
    )


def _prepare_store(settings: PlatformSettings, record: RunRecord) -> list[str]:
    """Migrate the store and, in keys mode, prepare the keys of callers. Returns sentences for the user."""
    url, news = settings.database_url, list[str]()
    try:
        store = open_store(settings)
        try:
            store.migrate()
            if store.secrets.missing_keys():
                file = settings.encryption_key_file
                lost = f"Some secrets cannot be decrypted: their key is not in {file}."
                news.append(f"{lost} Restore that file, or store the secrets again.")
            if settings.auth is AuthMode.KEYS and settings.ingress is not None:
                directory = settings.ingress.directory
                if prepare_keys(store, record.state_dir, url=record.url, ingress_directory=directory):
                    news.append(f"Your admin key is in {admin_key_file(record.state_dir)}; raylift and the SDK find it there.")
        finally:
            store.close()
    except (PlatformError, RuntimeError, ValueError, OSError) as error:
        raise LauncherError(
            f"The store {_without_password(url)} cannot be used: {error}",
            hint=f"Its address comes from {DATABASE_VARIABLE}, else from database in the configuration.",
        ) from error
    return news


def _wait_until_ready(record: RunRecord, driver: DriverProcess, timeout: float) -> None:
    url = f"{record.gateway_url}/readyz"

    def last_answer() -> str:
        try:
            return f"{driver.log_tail()}\nGET {url} returned: {httpx.get(url, timeout=5.0, trust_env=False).text[:2000]}"
        except httpx.HTTPError as error:
            return f"{driver.log_tail()}\nGET {url}: {error}"

    wait_for(lambda: answers(url), what="The gateway", timeout=timeout, process=None, log_tail=last_answer)


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
