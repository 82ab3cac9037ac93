"""Joining: starts Ray on this machine as a node of another machine's platform."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
from pydantic import ValidationError

from raylift.api.cluster.join import NodeDocument
from raylift.api.paths import NODE_DOCUMENT
from raylift.domain.nodes.labels import NODE_ADDRESS_VARIABLE, NODE_LABEL
from raylift.ingress.haproxy import IngressFiles
from raylift.ingress.spec import IngressSpec
from raylift.launcher.errors import LauncherError, PortTaken
from raylift.launcher.nodes.checks import require_same
from raylift.launcher.nodes.document import versions_here
from raylift.launcher.nodes.record import NodeRecord, end_node, is_alive, read_node, write_node
from raylift.launcher.parts.ray_head import ray_start
from raylift.launcher.processes.starting import start, tail
from raylift.launcher.progress import Progress
from raylift.launcher.run.config import HeadEnvironment, usable_cores
from raylift.launcher.run.environment import base_environment
from raylift.launcher.run.ports import PlatformPorts, holder_of, is_free
from raylift.launcher.run.private_files import make_private, write_private
from raylift.launcher.run.session import make_session, temp_path

_ANSWER_SECONDS: Final = 15.0
_START_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 0.2
_SETTLED_SECONDS: Final = 2.0
_IS_ERROR: Final = re.compile(r" [ECF] \d+ \d+\] ")
"""Error, check, fatal: lines of Ray's C++ logs."""
_MOST_ERRORS: Final = 5
_NODE_PORTS: Final = {
    "object_manager": "object-manager-port",
    "node_manager": "node-manager-port",
    "agent_http": "dashboard-agent-listen-port",
    "agent_grpc": "dashboard-agent-grpc-port",
    "environment_agent": "runtime-env-agent-port",
    "ray_metrics": "metrics-export-port",
}
"""Options of `ray start` by the names of PlatformPorts.internal. The ports are the head's, so firewalls need one rule."""


class JoinRefused(LauncherError):
    """The platform does not let this machine join."""


class HeadUnreachable(JoinRefused):
    """The platform does not answer. It may yet."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Address and resources of the node. None: found out."""

    address: str | None = None
    """Address at which the other nodes reach it."""
    cpus: int | None = None
    memory: int | None = None
    gpus: int | None = None


def join(url: str, token: str, machine: Machine, progress: Progress, *, ca: str | None = None) -> tuple[NodeRecord, bool]:
    """Start a node of the platform at ``url``, or return the running one, with True.

    Raises:
        LauncherError: the platform refuses, this machine differs from it, or Ray does not start. Nothing is left running.
    """
    if not sys.platform.startswith("linux"):
        raise LauncherError("raylift join runs on Linux only, for now.", hint="On macOS and Windows, run it in a container.")
    with progress.step("Platform", f"the node document of {url}"):
        document = fetch_document(url, token, ca=ca)
    session = Path(document.session_dir)
    former = read_node(session)
    if former is not None:
        # A head that has come back with another configuration does not take the node as it is.
        if is_alive(former) and former.label == document.hash:
            return former, True
        progress.say("Ending the rest of a former node.")
        end_node(former)
    elif IngressFiles(session).wrapper.exists():
        # A node that was started by hand leaves a session there, too, but without our files.
        raise JoinRefused(f"{session} exists: this machine runs the platform itself.", hint="Join from another machine.")
    require_same(document.versions, versions_here())
    record = NodeRecord(
        instance=document.instance,
        url=url,
        address=machine.address or address_towards(document.ray_address),
        ray_address=document.ray_address,
        session_dir=session,
        state_dir=Path(document.state_dir),
        label=document.hash,
        environment=document.environment,
    )
    _require_way_to(document.ray_address)
    _require_free_ports(document, record.address)
    _make_directories(record)
    _write_ingress(document, record)
    write_private(record.ray_token_file, document.ray_token)
    write_node(record)
    try:
        with progress.step("Ray", f"a node at {record.address} of the cluster at {record.ray_address}"):
            _start_ray(document, record, machine)
    except BaseException:
        # Also after Ctrl-C, no process is left.
        end_node(record)
        raise
    return record, False


def fetch_document(url: str, token: str, *, ca: str | None = None) -> NodeDocument:
    """Ask the platform for the node document.

    Raises:
        JoinRefused: it does not answer, takes no nodes, or does not know the token.
    """
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}{NODE_DOCUMENT}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_ANSWER_SECONDS,
            trust_env=False,
            verify=ca or True,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise JoinRefused(
                f"The certificate of {url} is not trusted: {error}", hint="Name its authority's file: --ca FILE, or RAYLIFT_CA."
            ) from error
        raise HeadUnreachable(f"{url} does not answer: {error}", hint="Is it the address that `raylift up` printed?") from error
    if answer.status_code == 200:
        try:
            return NodeDocument.model_validate_json(answer.content)
        except ValidationError as error:
            raise JoinRefused(f"{url} runs another version of Raylift.", hint="Install the same version here.") from error
    # A gateway that starts yet, or none behind the ingress.
    refused = HeadUnreachable if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else JoinRefused
    raise refused(f"{url} refuses ({answer.status_code}): {_detail(answer)}")


def address_towards(ray_address: str) -> str:
    """Return this machine's address in the network of the head. Sends nothing."""
    host, _, port = ray_address.rpartition(":")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))
        except OSError as error:
            raise JoinRefused(f"This machine has no way to {host}: {error.strerror}.") from error
        return str(probe.getsockname()[0])


def node_environment(document: NodeDocument, record: NodeRecord, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of `ray start` on this machine."""
    inherited = HeadEnvironment(inherit=tuple(document.inherit), set={})
    return {
        **base_environment(inherited, document.instance, temp_path(record.session_dir), environ),
        **document.environment,
        # Explicit on each node: a token in a home directory would be another one.
        "RAY_AUTH_TOKEN_PATH": str(record.ray_token_file),
        NODE_ADDRESS_VARIABLE: record.address,
    }


def node_command(document: NodeDocument, record: NodeRecord, machine: Machine) -> list[str]:
    """Return the command line of `ray start`."""
    ports = PlatformPorts(**document.ports)
    return ray_start(
        {
            "address": document.ray_address,
            "node-ip-address": record.address,
            **{option: ports.internal[name] for name, option in _NODE_PORTS.items()},
            "min-worker-port": ports.workers.start,
            "max-worker-port": ports.workers.stop - 1,
            "num-cpus": machine.cpus or usable_cores(),
            "num-gpus": machine.gpus,
            "memory": machine.memory,
            "object-store-memory": document.object_store_memory,
            "temp-dir": record.session_dir / "r",
            "labels": f"{NODE_LABEL}={document.hash}",
        },
        is_head=False,
    )


def _start_ray(document: NodeDocument, record: NodeRecord, machine: Machine) -> None:
    process = start(
        node_command(document, record, machine),
        directory=record.session_dir,
        environment=node_environment(document, record),
        log=record.log,
    )
    try:
        code = process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise LauncherError(f"Ray did not start within {_START_SECONDS:.0f} s.", log_tail=ray_log_tail(record)) from error
    if code != 0:
        raise LauncherError(f"Ray did not start (exit code {code}).", log_tail=ray_log_tail(record))
    # `ray start` ends well also where the raylet ends soon after, such as for a refused token.
    deadline = time.monotonic() + _SETTLED_SECONDS
    while time.monotonic() < deadline:
        if not is_alive(record):
            raise LauncherError("Ray's node ended at once.", log_tail=ray_log_tail(record))
        time.sleep(_PAUSE_SECONDS)


def ray_log_tail(record: NodeRecord) -> str:
    """Return the end of the log of `ray start`, and the errors of what it started."""
    found = tail(record.log, lines=3).splitlines()
    for path in sorted(record.session_dir.glob("r/session_*/logs/raylet.*")):
        # Its last lines are addresses of functions.
        errors = [line for line in tail(path, lines=500).splitlines() if _IS_ERROR.search(line)]
        found += [f"{path.name}:", *errors[-_MOST_ERRORS:]] if errors else []
    return "\n".join(found)


def _require_way_to(ray_address: str) -> None:
    host, _, port = ray_address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        raise JoinRefused(
            f"Ray at {ray_address} cannot be reached: {error.strerror or error}.",
            hint="Nodes reach each other at all ports of the platform's block and at MLflow's: does a firewall close them?",
        ) from error


def _require_free_ports(document: NodeDocument, address: str) -> None:
    if not is_free(0, address):
        raise JoinRefused(f"{address} is no address of this machine.", hint="Name one of its own: --address.")
    ports = PlatformPorts(**document.ports)
    if not is_free(ports.gateway, address):
        raise PortTaken(
            f"Port {ports.gateway} is taken: the API answers there on every node, and {holder_of(ports.gateway)} holds it.",
            hint="End that process, or start the platform with another --port.",
        )
    for name in _NODE_PORTS:
        port = ports.internal[name]
        if not is_free(port, address):
            raise PortTaken(
                f"Port {port} is taken: Ray's node wants it, as on the platform's machine, and {holder_of(port)} holds it.",
                hint="End that process, or set ports.internal on the platform's machine to another block of 1,000.",
            )


def _make_directories(record: NodeRecord) -> None:
    """Make the platform's directories. Environments and models have the same paths on every node."""
    try:
        for path in (record.state_dir, *(record.state_dir / name for name in ("attempts", "environments"))):
            make_private(path)
        make_session(record.session_dir)
    except OSError as error:
        raise LauncherError(
            f"{error.filename} cannot be made here: {error.strerror}.",
            hint="Nodes keep environments at the same path as the platform's machine: let this user write there, or start the "
            "platform with a --state-dir that exists on all machines.",
        ) from error


def _write_ingress(document: NodeDocument, record: NodeRecord) -> None:
    """Write the files of this node's HAProxy, which Serve starts with the first replica. An agent keeps them up to date."""
    spec = IngressSpec.of_json(document.ingress).on_node(record.address, document.url)
    try:
        IngressFiles(record.session_dir).write(spec, host=record.address, node_address=record.address, joins=True)
    except OSError as error:
        raise LauncherError(f"The files of HAProxy cannot be written: {error}") from error


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
