from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside of /tmp, which machines have for themselves."""
    made = Path(tempfile.mkdtemp(prefix="raylift-hosts-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made)
