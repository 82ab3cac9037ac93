from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.model_server.serve_cluster import ServeCluster, serve_cluster


@pytest.fixture(scope="session")
def serving() -> Iterator[ServeCluster]:
    """A cluster with Serve behind HAProxy, for all files that need one.

    They run in one process: Ray puts files of HAProxy at one place of the machine.
    """
    with serve_cluster() as running:
        yield running
