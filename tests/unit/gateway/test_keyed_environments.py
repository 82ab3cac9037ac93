"""Environments in keys mode: a workspace sees and removes its own alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import environment_hash, overlay_directory
from raylift.settings import PlatformSettings
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

PATH = "/mlops/environments"
LOCKS = {name: (f"{name}==1.0",) for name in ("red", "blue", "both", "old")}
HASHES = {name: environment_hash(lock) for name, lock in LOCKS.items()}


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        for lock in LOCKS.values():
            directory = overlay_directory(lock, settings.environments_dir)
            directory.mkdir(parents=True)
            write_record(directory, lock)
        for name, workspaces in {"red": ["red"], "blue": ["blue"], "both": ["red", "blue"]}.items():
            for workspace in workspaces:
                keyed.platform.store.workspaces.claim_environment(HASHES[name], workspace)
        yield keyed


async def seen(keyed: KeyedPlatform, who: str) -> set[str]:
    listed = (await keyed.send(who, "GET", PATH)).json()["environments"]
    names = {name: digest for name, digest in HASHES.items() if digest in {one["hash"] for one in listed}}
    for name, digest in HASHES.items():
        assert (await keyed.send(who, "GET", f"{PATH}/{digest}")).status_code == (200 if name in names else 404)
    return set(names)


async def test_workspace_sees_its_own(keyed: KeyedPlatform) -> None:
    assert await seen(keyed, "deployer") == {"red", "both"}
    assert await seen(keyed, "other") == {"blue", "both"}
    assert await seen(keyed, "admin") == set(LOCKS)


async def test_workspace_removes_what_it_alone_needs(keyed: KeyedPlatform) -> None:
    for name, status in (("blue", 404), ("old", 404), ("both", 409)):
        assert (await keyed.send("deployer", "DELETE", f"{PATH}/{HASHES[name]}")).status_code == status, name
    both = await keyed.send("deployer", "DELETE", f"{PATH}/{HASHES['both']}")
    assert "Other workspaces need" in both.json()["detail"]
    assert (await keyed.send("deployer", "DELETE", f"{PATH}/{HASHES['red']}")).status_code == 204
    assert await seen(keyed, "admin") == {"blue", "both", "old"}
    assert (await keyed.send("admin", "DELETE", f"{PATH}/{HASHES['both']}")).status_code == 204
