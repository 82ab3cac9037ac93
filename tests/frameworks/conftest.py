"""The platform of the end-to-end tests, with time-outs for environments that take minutes to build."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import client, platform

__all__ = ["client", "platform"]

_HERE = "tests/frameworks"
_SECONDS = 2400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in str(item.path):
            item.add_marker(pytest.mark.timeout(_SECONDS))
