"""TLS of the gRPC port. Each new connection gets the certificate that is in the files then."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from raylift.ingress.tls import CertificateUnusable, read_certificate

log = logging.getLogger(__name__)


def reloading_credentials(certificate: Path, key: Path | None) -> grpc.ServerCredentials:
    """Return credentials that notice changed files. An unusable certificate is logged, and the present one stays.

    Raises:
        CertificateUnusable: the files cannot be used now.
    """
    seen = _stamp(certificate, key)

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        stamp = _stamp(certificate, key)
        if stamp == seen:
            return None
        seen = stamp
        try:
            return _configuration(certificate, key)
        except CertificateUnusable as error:
            log.warning("The certificate of gRPC is not reloaded: %s", error)
            return None

    first = _configuration(certificate, key)
    # None keeps the present one, which the stubs do not know.
    return grpc.dynamic_ssl_server_credentials(first, changed)  # pyright: ignore[reportArgumentType]


def _configuration(certificate: Path, key: Path | None) -> grpc.ServerCertificateConfiguration:
    read = read_certificate(certificate, key)
    return grpc.ssl_server_certificate_configuration([(read.key, read.chain)])


def _stamp(*paths: Path | None) -> tuple[int, ...]:
    return tuple(value for path in paths if path is not None and path.exists() for value in _identity(path))


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
