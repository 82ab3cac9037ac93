"""A gateway in keys mode with keys of every role, in two workspaces."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from raylift.domain.access import LOCAL, AccessKey, Role, new_token
from raylift.engines.identity_provider import OidcProvider
from raylift.services.access.keys import KeyRequest
from raylift.services.container import Services
from raylift.settings import AuthMode, PlatformSettings
from raylift.store import Store
from tests.unit.gateway.conftest import Platform, asked
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry
from tests.unit.gateway.routes_once import app_of


@dataclass
class KeyedPlatform:
    platform: Platform
    app: FastAPI
    http: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)
    """By role, and ``expired``, ``other`` (a deployer of another workspace), ``model`` (only predicts with churn)."""

    async def send(self, who: str | None, method: str, path: str, **how: Any) -> httpx.Response:
        headers = dict(how.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.tokens.get(who, who)}"
        return await self.http.request(method, path, headers=headers, **how)


@asynccontextmanager
async def keyed_platform(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    settings = settings.model_copy(update={"auth": AuthMode.KEYS})
    shutil.copy(migrated, settings.state_dir / "store.db")
    store = Store.open(settings.database_url)
    registry, cluster = FakeRegistry(), FakeCluster()
    provider = OidcProvider(settings.oidc) if settings.oidc.issuer else None
    services = Services.assemble(settings, store=store, registry=registry, cluster=cluster, provider=provider)
    lease = store.leases.acquire("supervisor", "test", now=datetime.now(UTC), seconds=3600)
    assert lease
    tokens = {role.value: _key(services, role.value, role, "red") for role in Role}
    tokens["other"] = _key(services, "other", Role.DEPLOYER, "blue")
    tokens["model"] = _key(services, "app", Role.VIEWER, "red", models=("churn",))
    tokens["expired"] = _expired(store)
    app = app_of(services)
    async with asked(app) as http:
        yield KeyedPlatform(Platform(settings, store, registry, cluster, services, lease), app, http, tokens)
    services.health.close()
    store.close()


def _key(services: Services, name: str, role: Role, workspace: str, models: tuple[str, ...] = ()) -> str:
    return services.keys.create(LOCAL, KeyRequest(name, role, workspace, models)).token


def _expired(store: Store) -> str:
    token, now = new_token(), datetime.now(UTC)
    ended = now - timedelta(hours=1)
    store.keys.add(AccessKey(token.key_id, token.sha256, "old", Role.ADMIN, "red", (), ended, "admin", expires_at=ended))
    return token.text
