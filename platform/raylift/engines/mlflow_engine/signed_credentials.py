"""Credentials that MLflow's own port requires in keys mode: signed, so that MLflow's processes need no store."""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PREFIX: Final = "rlm2"
_NEVER: Final = 0


class Bearer(StrEnum):
    """Holder of a credential."""

    PLATFORM = "platform"
    JOB = "job"
    REPLICA = "replica"
    """A replica loads its model: it only reads."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A valid credential."""

    bearer: Bearer
    subject: str
    """Id of the job or name of the version."""
    workspace: str | None
    """The only workspace that it is good for. None: the platform's, for all."""
    issued: float
    """Seconds since 1970."""


def mint(
    secret: str,
    bearer: Bearer,
    subject: str,
    *,
    workspace: str | None = None,
    issued: float = 0.0,
    expires: float | None = None,
) -> str:
    """Return a credential. ``issued`` and ``expires`` are seconds since 1970; ``expires`` None: never."""
    if workspace is None and bearer is not Bearer.PLATFORM:
        raise ValueError(f"The credential of a {bearer} is for one workspace.")
    end = _NEVER if expires is None else int(expires)
    body = f"{_PREFIX}.{bearer}.{subject.encode().hex()}.{(workspace or '').encode().hex()}.{math.ceil(issued)}.{end}"
    return f"{body}.{_signature(secret, body)}"


def read(secret: str, text: str, *, now: float) -> Credential | None:
    """Return the credential in ``text``; None for one that is forged or expired. ``now`` are seconds since 1970."""
    body, _, signature = text.rpartition(".")
    if not hmac.compare_digest(_signature(secret, body).encode(), signature.encode()):
        return None
    _, bearer, subject, workspace, issued, expires = body.split(".")
    if int(expires) != _NEVER and int(expires) <= now:
        return None
    return Credential(Bearer(bearer), bytes.fromhex(subject).decode(), bytes.fromhex(workspace).decode() or None, float(issued))


def _signature(secret: str, body: str) -> str:
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
