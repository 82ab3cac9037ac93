from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest


@pytest.fixture
def make_distribution(tmp_path: Path) -> Callable[[str], Distribution]:
    """A distribution with the given metadata only."""

    def make(metadata: str) -> Distribution:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}\n")
        return PathDistribution(folder)

    return make
