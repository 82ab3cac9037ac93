"""The admin key of the platform's user, and the secrets of keys mode."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.domain.access import Role, digest_of
from raylift.ingress.keys import KeyMaps
from raylift.launcher.run.access_files import admin_key_file, mlflow_secret, mlflow_secret_file, prepare_keys
from raylift.store import Store

URL = "http://127.0.0.1:8000"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    store.migrate()
    yield store
    store.close()


def prepare(store: Store, directory: Path, url: str = URL) -> bool:
    return prepare_keys(store, directory, url=url, ingress_directory=directory)


def token_in(directory: Path) -> str:
    return json.loads(admin_key_file(directory).read_text())["key"]


def test_first_start_makes_a_private_admin_key(store: Store, tmp_path: Path) -> None:
    assert prepare(store, tmp_path)
    (key,) = store.keys.list()
    assert (key.role, key.sha256) == (Role.ADMIN, digest_of(token_in(tmp_path)))
    assert stat.S_IMODE(admin_key_file(tmp_path).stat().st_mode) == 0o600
    assert key.sha256 in KeyMaps(tmp_path).keys.read_text()


def test_later_starts_keep_the_key_and_follow_the_address(store: Store, tmp_path: Path) -> None:
    prepare(store, tmp_path)
    first = token_in(tmp_path)
    assert not prepare(store, tmp_path, "http://127.0.0.1:9000")
    assert json.loads(admin_key_file(tmp_path).read_text()) == {"url": "http://127.0.0.1:9000", "key": first}
    assert len(store.keys.list()) == 1


@pytest.mark.parametrize("content", [None, "", "{}", '{"key": 5}', '{"key": "rl_unknown"}'])
def test_lost_key_is_replaced(store: Store, tmp_path: Path, content: str | None) -> None:
    prepare(store, tmp_path)
    path = admin_key_file(tmp_path)
    path.unlink() if content is None else path.write_text(content)
    assert prepare(store, tmp_path)
    assert len(store.keys.list()) == 2


def test_revoked_key_is_replaced(store: Store, tmp_path: Path) -> None:
    prepare(store, tmp_path)
    first = token_in(tmp_path)
    store.keys.revoke(store.keys.list()[0].key_id, now=datetime.now(UTC))
    assert prepare(store, tmp_path)
    assert token_in(tmp_path) != first
    assert digest_of(first) not in KeyMaps(tmp_path).keys.read_text()


def test_secret_of_mlflow_stays_and_is_private(tmp_path: Path) -> None:
    secret = mlflow_secret(tmp_path)
    assert mlflow_secret(tmp_path) == secret
    assert len(secret) == 64
    assert stat.S_IMODE(mlflow_secret_file(tmp_path).stat().st_mode) == 0o600
