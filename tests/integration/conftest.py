"""Groups of tests that stay in one process when several processes share the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ON_SERVE: Final = ("test_on_serve.py", "test_observed_on_serve.py")
"""Files that start Ray Serve with HAProxy, whose files Ray puts at one place of the machine."""


# First: xdist reads the marks in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file together where they share a server, a cluster or a model."""
    for item in items:
        # Each of the wrapper's tests starts processes of its own.
        if HERE in item.path.parents and item.path.parent.name != "job_entrypoints":
            group = "serve" if item.path.name in ON_SERVE else item.path.relative_to(HERE).as_posix()
            item.add_marker(pytest.mark.xdist_group(group))
