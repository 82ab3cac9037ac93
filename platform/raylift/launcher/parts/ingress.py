"""Rules of this start's ingress, from its settings, and HAProxy's files with them."""

from __future__ import annotations

from raylift.access_settings import TlsSettings
from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint
from raylift.ingress.allowed_hosts import allowed_hosts
from raylift.ingress.engine_pages import EnginePages
from raylift.ingress.guard import Guard
from raylift.ingress.haproxy import IngressFiles
from raylift.ingress.limits import Limits
from raylift.ingress.spec import IngressSpec, Tls
from raylift.ingress.tls import CertificateUnusable, read_certificate
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.record import RunRecord
from raylift.launcher.run.tokens import make_ray_token
from raylift.settings import PlatformSettings


def ingress_spec(config: LocalConfig, settings: PlatformSettings, record: RunRecord) -> IngressSpec:
    """Return the rules. Raises LauncherError: the certificate cannot be used."""
    assert settings.ingress is not None  # noqa: S101 - platform_settings sets it
    gateway = settings.gateway
    return IngressSpec(
        port=record.ports["gateway"],
        token=settings.ingress.token,
        guard=Guard(allowed_hosts(settings), tuple(map(str, gateway.trusted_proxies))),
        pages=_engine_pages(settings, record),
        tls=_tls(config.gateway.tls, record),
        origins=tuple(gateway.allowed_origins),
        limits=Limits(**gateway.limits.model_dump()),
    )


def write_ingress(spec: IngressSpec, record: RunRecord) -> None:
    """Write the files of the head's HAProxy."""
    replicas = record.node_address if record.accepts_nodes else None
    IngressFiles(record.session_dir).write(spec, host=record.host, node_address=replicas)


def _tls(settings: TlsSettings, record: RunRecord) -> Tls | None:
    if settings.cert is None:
        return None
    try:
        certificate = read_certificate(settings.cert, settings.key)
    except CertificateUnusable as error:
        raise LauncherError(
            f"TLS: {error}.", hint="gateway.tls.cert and gateway.tls.key are PEM files without password."
        ) from error
    return Tls(certificate.pem, record.platform_ports.internal["ingress"], settings.hsts_seconds)


def _engine_pages(settings: PlatformSettings, record: RunRecord) -> EnginePages | None:
    """Return the pages that the ingress opens to keys; None in local mode, where they have ports of their own."""
    if settings.mlflow_secret is None:
        return None
    token = make_ray_token(record.state_dir).read_text(encoding="ascii")
    credential = mint(settings.mlflow_secret, Bearer.PLATFORM, "ingress")
    return EnginePages(
        record.ports["mlflow"], credential, record.ports["ray_dashboard"], token, mlflow_host=record.node_address
    )
