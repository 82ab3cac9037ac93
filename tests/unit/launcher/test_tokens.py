"""Tokens of Ray's ports and of joining machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raylift.launcher.run.tokens import make_join_token, make_ray_token


@pytest.mark.parametrize(("make", "length"), [(make_ray_token, 64), (make_join_token, 68)])
def test_token_is_made_once_and_only_its_owner_reads_it(make: Callable[[Path], Path], length: int, tmp_path: Path) -> None:
    path = make(tmp_path)
    token = path.read_text(encoding="ascii")
    assert len(token) == length
    path.chmod(0o644)
    assert make(tmp_path) == path
    assert path.read_text(encoding="ascii") == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
