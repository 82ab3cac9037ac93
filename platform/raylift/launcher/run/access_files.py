"""Secrets of keys mode in the state directory: the first admin key, and MLflow's secret. Their owner alone may read them."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from raylift.ingress.keys import KeyMaps
from raylift.launcher.run.private_files import make_private, write_private
from raylift.services.access.keys import first_admin_key
from raylift.store import Store

_ADMIN_KEY: Final = "admin-key.json"
_MLFLOW_SECRET: Final = "mlflow/secret"  # noqa: S105 - a file's name, among those that the confined server may read


def admin_key_file(state_dir: Path) -> Path:
    """Return the file of the admin key of the platform's user. The CLI and the SDK of this user find it."""
    return state_dir / _ADMIN_KEY


def mlflow_secret_file(state_dir: Path) -> Path:
    return state_dir / _MLFLOW_SECRET


def mlflow_secret(state_dir: Path) -> str:
    """Return the secret that signs MLflow's credentials. It is made by the first call."""
    path = mlflow_secret_file(state_dir)
    make_private(path.parent)
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    path.chmod(0o600)
    return path.read_text(encoding="ascii").strip()


def prepare_keys(store: Store, state_dir: Path, *, url: str, ingress_directory: Path) -> bool:
    """Make sure that the platform's user has an admin key for ``url``, and write the ingress's maps.

    Returns True where a key was made.
    """
    path = admin_key_file(state_dir)
    known = _token_in(path)
    created = first_admin_key(store, known, datetime.now(UTC))
    token = known if created is None else created.token
    write_private(path, json.dumps({"url": url, "key": token}))
    now = datetime.now(UTC)
    KeyMaps(ingress_directory).put(store.keys.unrevoked(now), store.workspaces.of_models(), now)
    return created is not None


def _token_in(path: Path) -> str | None:
    try:
        token = json.loads(path.read_text(encoding="utf-8"))["key"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return token if isinstance(token, str) else None
