"""Settings of access and of what users bring: sign-in, reports, webhooks, limits, batches, and TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, model_validator

from raylift.domain.access import Role
from raylift.domain.identifiers import DEFAULT_WORKSPACE, OWNER

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GroupSettings(_Section):
    """Rights of the members of one group of the provider."""

    group: Annotated[str, Field(min_length=1)]
    """Value of the claim of groups."""
    role: Role
    """Role of its members."""
    workspace: Annotated[str, Field(pattern=OWNER.pattern)] = DEFAULT_WORKSPACE
    """Workspace of its members."""


class OidcSettings(_Section):
    """Sign-in with an OpenID Connect provider, besides keys (docs/guides/single-sign-on.md)."""

    issuer: str | None = None
    """Address of the provider, as its tokens name it: ``https://…``. null: people need a key from an admin."""
    client_id: str = ""
    """Id of this platform at the provider."""
    client_secret_file: Path | None = None
    """File with the secret of this platform at the provider. null: a public client, which proves itself by PKCE alone."""
    name: str = "single sign-on"
    """Name of the provider on the console's button."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    """Scopes to ask for. Some providers put groups into tokens only with a scope such as ``groups``."""
    name_claim: str = "email"
    """Claim that names the person: its keys, jobs and audit entries."""
    groups_claim: str = "groups"
    """Claim with the groups of the person."""
    groups: tuple[GroupSettings, ...] = ()
    """Groups that may sign in: ``{group, role, workspace}`` each. The first one that a person is in decides."""
    schedule_days: Annotated[float, Field(ge=0, le=365)] = 30.0
    """Days after a person's last sign-in until its schedules make no jobs any more, unless the sign-in's key is revoked."""
    session_hours: Annotated[float, Field(gt=0, le=720)] = 12.0
    """Hours until a sign-in ends. For so long a person who has left a group still has its rights, unless the key is revoked."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.issuer is None:
            return self
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ValueError("issuer must be an https address: tokens are believed because of its certificate")
        if not self.client_id:
            raise ValueError("client_id is missing: the id of this platform at the provider")
        if not self.groups:
            raise ValueError("groups is empty, so nobody could sign in: write - {group: NAME, role: submitter}")
        if "openid" not in self.scopes:
            raise ValueError("scopes must contain openid")
        return self


class ReportSettings(_Section):
    """Reports of bandit, pip-audit and picklescan (the extra ``scan``). They inform, and are no boundary."""

    refuse_scripts: Literal["low", "medium", "high"] | None = None
    """Least severity of a finding of bandit for which an upload is refused. null: none."""
    refuse_models: Literal["low", "medium", "high"] | None = None
    """Least severity of a finding of picklescan for which a version is not deployed. null: none."""
    osv_url: str = "https://api.osv.dev/v1/query"
    """Advisory source for packages, with OSV's API. Only names and versions are sent."""


class WebhookSettings(_Section):
    """Deliveries of events to webhooks (docs/guides/webhooks.md)."""

    allowed_networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks besides the public ones that receivers may be in, such as ``10.1.2.0/24``. Only there plain http is allowed."""
    ca_file: Path | None = None
    """File of further authorities for the certificates of receivers, in PEM. null: the usual ones."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    """Longest time of one attempt."""
    retry_days: Annotated[float, Field(gt=0, le=30)] = 3.0
    """Days from an event until its delivery is given up."""
    apprise_services: tuple[str, ...] = ("slack", "msteams", "workflows", "mailto", "mailtos")
    """Services of Apprise that admins may use. Its plugins ask addresses of their own, without the check of networks."""


class TlsSettings(_Section):
    """TLS of the API and of gRPC. A changed certificate is used within ten seconds, without a restart."""

    cert: Path | None = None
    """File of the certificate with its chain, in PEM. null: no TLS."""
    key: Path | None = None
    """File of its key, in PEM, not encrypted. null: it is in the file of the certificate."""
    hsts_seconds: Annotated[int, Field(ge=0)] = 31_536_000
    """``max-age`` of Strict-Transport-Security, which forbids browsers to use http for this host. 0: the header is not sent."""


class BatchSettings(_Section):
    """Predictions for files (docs/guides/batches.md), which lie in ``jobs.readable_paths`` and ``jobs.writable_paths``."""

    max_timeout_seconds: int = 7 * 86_400
    """Largest ``timeout_seconds`` of a batch."""


class LimitSettings(_Section):
    """Limits of each client: of a key, by its bearer token, else of an address. null: no limit."""

    requests_per_minute: Annotated[int | None, Field(ge=1)] = None
    """Requests in the last minute; further ones get 429."""
    concurrent_requests: Annotated[int | None, Field(ge=1)] = None
    """Requests in progress."""
    rows_per_minute: Annotated[int | None, Field(ge=1)] = None
    """Rows for predictions in the last minute; counted when they are answered, so the request after them gets 429."""
    uploads_per_hour: Annotated[int | None, Field(ge=1)] = None
    """Uploads of jobs and sweeps in the last hour."""
    address_requests_per_minute: Annotated[int | None, Field(ge=1)] = None
    """Requests of one address with any key or none. Loopback and trusted proxies have no such limit."""
