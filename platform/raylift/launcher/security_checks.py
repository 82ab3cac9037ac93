"""Checks of `raylift doctor` on who can do what to this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from job_entrypoints.sandbox.machine import ABI_OF_SCOPES, ABI_OF_TCP, LANDLOCK, OWN_USER, abi_version, mechanisms
from raylift.ingress.tls import CertificateUnusable, read_certificate
from raylift.launcher.findings import Finding, Level
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.exposure import has_authentication, is_loopback

_SOON: Final = timedelta(days=14)
_RENEW: Final = "A renewed file is used within ten seconds, without a restart."


def security_findings(config: LocalConfig, *, host: str, euid: int, now: datetime | None = None) -> list[Finding]:
    """Check the user with the effective id ``euid``, the kernel's sandboxes, the API's address ``host`` and its certificate."""
    held = mechanisms(config.jobs.first_user)
    findings = [_user(euid, held), _sandbox(config, held), _address(config, host)]
    tls = config.gateway.tls
    return findings if tls.cert is None else [*findings, _certificate(tls.cert, tls.key, now or datetime.now(UTC))]


def _certificate(file: Path, key: Path | None, now: datetime) -> Finding:
    try:
        found = read_certificate(file, key)
    except CertificateUnusable as error:
        advice = (
            "Name files in PEM that this user may read, with a key that is not encrypted: gateway.tls.cert and gateway.tls.key."
        )
        return Finding("certificate", Level.FAIL, str(error), advice)
    detail = f"for {', '.join(found.names) or 'no name'}, until {found.expires_at:%Y-%m-%d %H:%M} UTC"
    if found.expires_at <= now:
        return Finding(
            "certificate", Level.FAIL, detail, "It has expired, and clients refuse it. A new file is used within ten seconds."
        )
    if found.expires_at - now < _SOON:
        return Finding(
            "certificate", Level.WARN, detail, "It expires soon. A new file is used within ten seconds, without a restart."
        )
    return Finding("certificate", Level.OK, detail)


def _user(euid: int, held: list[str]) -> Finding:
    if euid != 0:
        return Finding("user", Level.OK, f"not root (uid {euid})")
    if OWN_USER in held:
        return Finding("user", Level.OK, "root; each sandboxed script gets a user of its own")
    advice = "Scripts of jobs run as root, too: give Raylift a user of its own (docs/guides/team_server.md)."
    return Finding("user", Level.WARN, "root", advice)


def _sandbox(config: LocalConfig, held: list[str]) -> Finding:
    if config.jobs.isolation == "none":
        advice = "Scripts may do what the platform's user may: set jobs.isolation to best or required."
        return Finding("sandbox", Level.WARN, "off (jobs.isolation: none)", advice)
    found = ", ".join(held)
    if LANDLOCK not in held:
        advice = "This machine cannot confine scripts: use Linux 5.13 or newer with Landlock (lsm=landlock,… at boot)."
        return Finding("sandbox", Level.WARN, f"no Landlock; {found}", advice)
    version = abi_version()
    if version < ABI_OF_SCOPES:
        missing = "signals and TCP ports" if version < ABI_OF_TCP else "signals"
        advice = f"Scripts reach {missing} of the platform: Linux 6.12 or newer confines them, too."
        return Finding("sandbox", Level.WARN, f"Landlock {version}; {found}", advice)
    return Finding("sandbox", Level.OK, f"{found} (Landlock {version})")


def _address(config: LocalConfig, host: str) -> Finding:
    if is_loopback(host):
        return Finding("address", Level.OK, f"{host}: this machine only")
    if has_authentication(config):
        return Finding("address", Level.OK, f"{host}, with authentication")
    advice = (
        "Everybody who reaches it runs code as the platform's user: use 127.0.0.1, or require keys (raylift up --auth keys)."
    )
    return Finding("address", Level.WARN, f"{host}, open to other machines without authentication", advice)
