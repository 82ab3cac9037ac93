"""Makes certificates for Ray's connections between machines (docs/guides/tls.md).

``python ray_tls.py --out DIR HOST…`` writes an authority (ca.crt, ca.key) unless DIR has one, and a certificate for the hosts
(tls.crt, tls.key) that Ray uses as a server and as a client. It needs the library ``cryptography``, which comes with Raylift.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LOOPBACK = ("localhost", "127.0.0.1")
"""Ray's processes of one node also call each other."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Make certificates for Ray's connections between machines.")
    parser.add_argument("hosts", nargs="+", help="names and addresses of the nodes that use this certificate")
    parser.add_argument("--out", type=Path, required=True, help="directory of the files")
    parser.add_argument("--days", type=int, default=365, help="validity of the certificate")
    options = parser.parse_args()
    options.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, authority_key = _authority(options.out)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name("raylift-ray-node"), authority.subject, key.public_key(), options.days)
    names = x509.SubjectAlternativeName([_general(host) for host in dict.fromkeys((*options.hosts, *_LOOPBACK))])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    for extension in (names, usage, issuer):
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    _write_key(options.out / "tls.key", key)
    (options.out / "tls.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def _authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the authority of the directory. Makes one where there is none."""
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    if certificate_file.exists():
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SystemExit(f"{key_file} is not a key of this script")
        return x509.load_pem_x509_certificate(certificate_file.read_bytes()), key
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("raylift-ray-ca")
    builder = _builder(name, name, key.public_key(), 3650)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    _write_key(key_file, key)
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


if __name__ == "__main__":
    main()
