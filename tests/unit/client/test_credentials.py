"""Keys that the user keeps: which one is sent, and to which address only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from raylift.client.credentials import credentials_file, find_key, keep_key, origin_of


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "RAYLIFT_STATE_DIR": str(tmp_path / "state")}


def own_platform(environ: dict[str, str], url: str = "http://127.0.0.1:8000") -> None:
    state = Path(environ["RAYLIFT_STATE_DIR"])
    state.mkdir(exist_ok=True)
    (state / "admin-key.json").write_text(json.dumps({"url": url, "key": "admin-key"}))


def test_no_key_is_kept_at_first(environ: dict[str, str]) -> None:
    assert find_key("http://127.0.0.1:8000", environ) is None


def test_key_of_a_login_is_for_its_address_only(environ: dict[str, str]) -> None:
    keep_key("https://ml.example", "k1", environ)
    keep_key("http://other:8000", "k2", environ)
    assert find_key("https://ml.example/", environ) == find_key("https://ML.example:443", environ) == "k1"
    assert find_key("http://other:8000", environ) == "k2"
    for foreign in ("http://ml.example", "https://ml.example:8000", "https://ml.example.evil", "http://other:8001"):
        assert find_key(foreign, environ) is None


def test_kept_keys_are_private(environ: dict[str, str]) -> None:
    path = keep_key("https://ml.example", "k1", environ)
    assert path == credentials_file(environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_logout_forgets_one_key(environ: dict[str, str]) -> None:
    keep_key("https://a.example", "k1", environ)
    keep_key("https://b.example", "k2", environ)
    keep_key("https://a.example", None, environ)
    assert find_key("https://a.example", environ) is None
    assert find_key("https://b.example", environ) == "k2"


def test_own_platform_gives_its_admin_key_to_itself_only(environ: dict[str, str]) -> None:
    own_platform(environ)
    assert find_key("http://127.0.0.1:8000", environ) == find_key("http://localhost:8000", environ) == "admin-key"
    for foreign in ("http://127.0.0.1:8001", "http://ml.example:8000", "https://127.0.0.1:8000"):
        assert find_key(foreign, environ) is None


def test_order_of_keys_is_variable_login_platform(environ: dict[str, str]) -> None:
    own_platform(environ)
    keep_key("http://127.0.0.1:8000", "login-key", environ)
    assert find_key("http://127.0.0.1:8000", environ) == "login-key"
    assert find_key("http://127.0.0.1:8000", environ | {"RAYLIFT_API_KEY": "variable-key"}) == "variable-key"


@pytest.mark.parametrize("content", ["", "[]", "{", '"text"', '{"key": "x"}'])
def test_unreadable_files_count_as_none(environ: dict[str, str], content: str) -> None:
    own_platform(environ)
    (Path(environ["RAYLIFT_STATE_DIR"]) / "admin-key.json").write_text(content)
    assert find_key("http://127.0.0.1:8000", environ) is None


def test_addresses_are_compared_by_origin() -> None:
    assert origin_of("HTTP://Host/path?x") == "http://host:80"
