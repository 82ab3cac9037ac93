"""The token that Ray's ports require."""

from __future__ import annotations

from pathlib import Path

from raylift.launcher.run.ray_token import make_ray_token


def test_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = make_ray_token(tmp_path)
    token = path.read_text(encoding="ascii")
    assert len(token) == 64
    path.chmod(0o644)
    assert make_ray_token(tmp_path) == path
    assert path.read_text(encoding="ascii") == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
