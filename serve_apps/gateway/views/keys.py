"""Keys as wire models, without their hashes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raylift.api.access import KeyView, NewKeyView
from raylift.domain.access import AccessKey
from raylift.services.access.keys import CreatedKey


def key_view(key: AccessKey) -> KeyView:
    return KeyView(**_fields(key))


def new_key_view(created: CreatedKey) -> NewKeyView:
    return NewKeyView(**_fields(created.key), key=created.token)


def _fields(key: AccessKey) -> dict[str, Any]:
    shown: dict[str, Any] = asdict(key) | {"models": list(key.models)}
    del shown["sha256"]
    return shown
