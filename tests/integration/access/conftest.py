"""A gateway in keys mode beside a real identity provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from raylift.access_settings import OidcSettings
from raylift.settings import PlatformSettings
from raylift.store import Store
from tests.identity_provider import Provider, running_provider
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, provider: Provider) -> PlatformSettings:
    secret = tmp_path / "client-secret"
    secret.write_text("s3cret")
    return PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url=NOWHERE,
        ray_dashboard_url=NOWHERE,
        gateway_url=NOWHERE,
        oidc=OidcSettings.model_validate(provider.settings(client_secret_file=str(secret))),
    )


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.db"
    store = Store.open(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture
async def keyed(settings: PlatformSettings, empty: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, empty) as made:
        yield made
