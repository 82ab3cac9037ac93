"""Access: principals, their roles, the table of permissions, and keys. Pure.

A principal acts in one workspace. Jobs, sweeps and models belong to a workspace, and other workspaces do not see them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from raylift.domain.identifiers import DEFAULT_OWNER, DEFAULT_WORKSPACE, OWNER

WORKSPACE: Final = OWNER
"""Form of the names of workspaces and principals."""


class Role(StrEnum):
    """Each role may do what those before it may."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    DEPLOYER = "deployer"
    ADMIN = "admin"


class Action(StrEnum):
    PUBLIC = "public"
    """Needs no key: health, the OpenAPI document."""
    IDENTIFY = "identify"
    """Ask who one is."""
    PREDICT = "predict"
    """Ask a model, read its metadata, and send feedback to it."""
    READ = "read"
    """Read jobs, logs, sweeps, models, deployments, traffic."""
    SUBMIT = "submit"
    """Upload, rerun, cancel and delete jobs and sweeps; build environments."""
    DEPLOY = "deploy"
    """Change deployments, traffic and aliases; remove environments."""
    USE_CLUSTER = "use_cluster"
    """Run scripts that use Ray, outside of the sandbox."""
    MONITOR = "monitor"
    """Read metrics of all workspaces."""
    ADMINISTER = "administer"
    """Keys and audit."""


LEAST_ROLE: Final[Mapping[Action, Role | None]] = {
    Action.PUBLIC: None,
    Action.IDENTIFY: Role.VIEWER,
    Action.PREDICT: Role.VIEWER,
    Action.READ: Role.VIEWER,
    Action.SUBMIT: Role.SUBMITTER,
    Action.DEPLOY: Role.DEPLOYER,
    Action.USE_CLUSTER: Role.DEPLOYER,
    Action.MONITOR: Role.ADMIN,
    Action.ADMINISTER: Role.ADMIN,
}
"""The table of permissions: the least role of each action; None: needs no principal."""

_RANK: Final = {role: rank for rank, role in enumerate(Role)}
_OF_LIMITED_KEYS: Final = frozenset({Action.PUBLIC, Action.IDENTIFY, Action.PREDICT})


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request."""

    name: str
    role: Role
    workspace: str
    key_id: str | None = None
    """None in local mode."""
    models: frozenset[str] | None = None
    """Models that it may ask, and then it may do nothing else. None: all of its workspace."""

    @property
    def visible_workspace(self) -> str | None:
        """The workspace that it sees; None: an admin sees all."""
        return None if self.role is Role.ADMIN else self.workspace


LOCAL: Final = Principal(DEFAULT_OWNER, Role.ADMIN, DEFAULT_WORKSPACE)
"""The caller of every request in local mode."""


def may(principal: Principal, action: Action) -> bool:
    """Return True where the principal's role and the limits of its key allow the action."""
    least = LEAST_ROLE[action]
    if principal.models is not None and action not in _OF_LIMITED_KEYS:
        return False
    return least is None or _RANK[principal.role] >= _RANK[least]


def sees(principal: Principal, workspace: str) -> bool:
    """Return True where things of ``workspace`` exist for the principal."""
    return principal.visible_workspace in (None, workspace)


def sees_model(principal: Principal, model_name: str, workspace: str) -> bool:
    """Return True where the model of ``workspace`` exists for the principal."""
    return sees(principal, workspace) and (principal.models is None or model_name in principal.models)


def least_role(action: Action) -> Role | None:
    """Return the least role that may do this; None where no principal is needed."""
    return LEAST_ROLE[action]


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored key. Its secret is only in the token that its creator got once."""

    key_id: str
    """Visible part of the token."""
    sha256: str
    """SHA-256 of the whole token, in lower-case hex."""
    name: str
    """Name of the principal."""
    role: Role
    workspace: str
    models: tuple[str, ...]
    """Limits the key to predictions of these models; empty: no limit."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    subject: str | None = None
    """Issuer and id of the person who signed in with an identity provider. None: an admin made the key."""

    def is_valid(self, now: datetime) -> bool:
        """Return True unless the key is revoked or expired."""
        return self.revoked_at is None and not self.is_expired(now)

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def principal(self) -> Principal:
        models = frozenset(self.models) if self.models else None
        return Principal(self.name, self.role, self.workspace, self.key_id, models)


_TOKEN: Final = re.compile(r"rl_([a-z2-9]{8})_[A-Za-z0-9_-]{43}")
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token with 32 random bytes, shown once, and what the store keeps of it."""

    text: str
    key_id: str
    sha256: str

    def __repr__(self) -> str:
        return f"NewToken({self.key_id})"


def new_token() -> NewToken:
    """Make a token: ``rl_``, a visible id, and 32 random bytes."""
    key_id = "".join(secrets.choice(_LETTERS) for _ in range(8))
    text = f"rl_{key_id}_{secrets.token_urlsafe(32)}"
    return NewToken(text, key_id, digest_of(text))


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token, in lower-case hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def key_id_of(token: str) -> str | None:
    """Return the visible id in a token; None for a text that is no token of this platform."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None
