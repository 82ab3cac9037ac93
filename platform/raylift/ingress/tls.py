"""TLS at the ingress: HAProxy's listener, headers of its answers, and a changed certificate without a lost request.

HAProxy reads one file with certificate and key. Ray Serve starts new HAProxy processes, so the file has to be there for as long
as the platform runs. A running process gets a new certificate by its runtime socket: present connections stay.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from raylift.domain.errors import EngineUnavailable
from raylift.ingress.runtime_socket import ask, runtime_sockets

log = logging.getLogger(__name__)

_FILE: Final = "tls.pem"
_DONE: Final = "Success!"


class CertificateUnusable(ValueError):
    """The certificate or its key cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain and key."""

    pem: str
    """Key and certificates, as HAProxy reads them."""
    key: bytes
    chain: bytes
    names: tuple[str, ...]
    """Host names and addresses that it is for."""
    expires_at: datetime


def read_certificate(certificate: Path, key: Path | None) -> Certificate:
    """Read a certificate, with its chain, and its key, which may be in the same file.

    Raises:
        CertificateUnusable: a file cannot be read, is no PEM, is encrypted, or the two do not belong together.
    """
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private = load_pem_private_key((key or certificate).read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = getattr(error, "strerror", None) or error
        raise CertificateUnusable(f"{certificate}{f' with {key}' if key else ''} cannot be read as PEM: {reason}") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise CertificateUnusable(f"{key or certificate} is not the key of {certificate}")
    # Written anew: HAProxy's socket takes no empty lines, and no other text has to be trusted.
    key_pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain_pem = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
    return Certificate(
        (key_pem + chain_pem).decode("ascii"), key_pem, chain_pem, _names(chain[0]), chain[0].not_valid_after_utc
    )


def pem_file(directory: Path) -> Path:
    """Return the file that HAProxy reads, in its directory."""
    return directory / _FILE


def write_pem(directory: Path, pem: str) -> Path:
    """Write the file for HAProxy in one step, for its owner only."""
    draft = directory / f".{_FILE}"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(pem)
    return draft.replace(pem_file(directory))


def listener(pem: Path) -> str:
    """Return HAProxy's options of a listener with TLS."""
    return f"ssl crt {pem} alpn h2,http/1.1 ssl-min-ver TLSv1.2"


def https_rules(hsts_seconds: int) -> Iterator[str]:
    """Yield lines for the frontend. Browsers that came by https once then use nothing else for ``hsts_seconds``."""
    yield "http-request set-header X-Forwarded-Proto https if { ssl_fc }"
    if hsts_seconds:
        # Not for localhost: browsers would refuse all other servers of the machine that have no TLS.
        yield (
            "http-request set-var(txn.raylift_hsts) bool(true) if { ssl_fc }"
            " !{ req.fhdr(host),host_only,lower -m str localhost }"
        )
        yield (
            f"http-after-response set-header Strict-Transport-Security max-age={hsts_seconds}"
            " if { var(txn.raylift_hsts) -m found }"
        )


class CertificateReload:
    """Gives a changed certificate to the running HAProxy.

    Args:
        directory: directory of HAProxy's sockets and of its file.
        certificate: the file of the user.
        key: its key; None if it is in the same file.
    """

    def __init__(self, directory: Path, certificate: Path, key: Path | None) -> None:
        self._directory = directory
        self._certificate = certificate
        self._key = key
        self._seen: tuple[tuple[int, ...], ...] | None = None

    def refresh(self) -> bool:
        """Read the files if they have changed since the last call. Returns True where HAProxy got a new certificate.

        An unusable certificate is logged, and the present one stays.
        """
        stamp = tuple(_stamp(path) for path in (self._certificate, self._key) if path is not None)
        if stamp == self._seen:
            return False
        try:
            pem = read_certificate(self._certificate, self._key).pem
        except CertificateUnusable as error:
            log.warning("The certificate of the API is not reloaded: %s", error)
            self._seen = stamp
            return False
        is_new = replace_pem(self._directory, pem)
        self._seen = stamp
        if is_new:
            log.info("HAProxy has the certificate of %s", self._certificate)
        return is_new


def replace_pem(directory: Path, pem: str) -> bool:
    """Give another certificate to HAProxy, in its directory. Returns False where it has this one.

    Raises:
        EngineUnavailable: a running HAProxy did not take it. The next call tries again.
    """
    former = pem_file(directory).read_text(encoding="ascii")
    if former == pem:
        return False
    # The file first: an HAProxy that starts meanwhile reads it.
    write_pem(directory, pem)
    try:
        for path in runtime_sockets(directory):
            _push(path, pem_file(directory), pem)
    except OSError as error:
        write_pem(directory, former)
        raise EngineUnavailable(f"HAProxy did not take the certificate: {error}") from error
    return True


def _push(path: Path, name: Path, pem: str) -> None:
    try:
        ask(path, f"set ssl cert {name} <<\n{pem}")
        answer = ask(path, f"commit ssl cert {name}")
    except ConnectionRefusedError:
        return  # The socket of a former process.
    if _DONE not in answer:
        ask(path, f"abort ssl cert {name}")
        raise OSError(answer.strip())


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))
