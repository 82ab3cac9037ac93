"""The resolver with the real uv, against a folder of wheels and against the machine's package index."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from raylift.engines.environments.errors import EnvironmentUnresolvable
from raylift.engines.environments.locking.resolve import resolve

_NO_INDEX = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CACHE_DIR")


@pytest.fixture
def wheels(monkeypatch, tmp_path: Path, make_wheel):
    """Resolve from a folder of wheels only."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in _NO_INDEX:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return partial(make_wheel, folder=folder)


def _resolve(tmp_path: Path, *requirements: str) -> tuple[str, ...]:
    return resolve(requirements, cache_dir=tmp_path / "cache")


def test_newest_version_is_locked_with_the_packages_the_base_lacks(wheels, tmp_path: Path) -> None:
    wheels("probe", "1.0")
    wheels("probe", "2.0", "probe-part>=1", "numpy>=1", "packaging", "absent; python_version < '3'")
    wheels("probe-part", "1.5")
    assert _resolve(tmp_path, "probe") == ("probe-part==1.5", "probe==2.0")
    assert _resolve(tmp_path, "probe<2", "pandas") == ("probe==1.0",)


def test_version_that_fits_the_base_is_preferred(wheels, tmp_path: Path) -> None:
    wheels("probe", "1.0", "joblib")
    wheels("probe", "2.0", "joblib<1")
    wheels("joblib", "0.9")
    assert _resolve(tmp_path, "probe") == ("probe==1.0",)


def test_requirement_wins_over_the_base(wheels, tmp_path: Path) -> None:
    wheels("probe", "2.0", "joblib<1")
    wheels("joblib", "0.9")
    # scikit-learn needs a newer joblib, and there is no other scikit-learn in the directory.
    assert _resolve(tmp_path, "probe") == ("joblib==0.9", "probe==2.0")


def test_packages_that_would_break_are_locked_too(wheels, tmp_path: Path) -> None:
    wheels("joblib", "0.9")
    wheels("scikit-learn", "0.1", "joblib<1", "numpy")
    lock = _resolve(tmp_path, "joblib<1")
    assert "scikit-learn==0.1" in lock
    assert "joblib==0.9" in lock
    assert not any(pin.startswith("numpy") for pin in lock)


def test_requirement_against_a_need_of_ray_is_refused(wheels, tmp_path: Path) -> None:
    wheels("probe", "1.0", "protobuf<3")
    wheels("protobuf", "2.0")
    with pytest.raises(EnvironmentUnresolvable) as failure:
        _resolve(tmp_path, "probe")
    for part in ("probe", "protobuf<3", "Ray, which every job runs on, needs protobuf>=3.20.3"):
        assert part in failure.value.detail


def test_requirement_of_another_ray_is_refused(wheels, tmp_path: Path) -> None:
    wheels("probe", "1.0", "ray<2")
    with pytest.raises(EnvironmentUnresolvable) as failure:
        _resolve(tmp_path, "probe")
    assert f"ray=={version('ray')}" in failure.value.detail
    assert "ray<2" in failure.value.detail


def test_contradiction_names_both_requirements(wheels, tmp_path: Path) -> None:
    wheels("probe", "1.0", "part>2")
    wheels("part", "1.0")
    wheels("part", "3.0")
    with pytest.raises(EnvironmentUnresolvable, match=r"part<2.*part>2|part>2.*part<2"):
        _resolve(tmp_path, "probe", "part<2")


def test_direct_reference_is_locked(wheels, tmp_path: Path) -> None:
    wheel = wheels("probe", "1.0", "part")
    wheels("part", "1.0")
    assert _resolve(tmp_path, f"probe @ {wheel.as_uri()}") == ("part==1.0", f"probe @ {wheel.as_uri()}")


def test_requirement_of_the_platform_is_satisfied(wheels, tmp_path: Path) -> None:
    wheels("probe", "1.0", "raylift")
    assert _resolve(tmp_path, "probe", "raylift") == ("probe==1.0",)


def test_missing_direct_reference_is_not_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnresolvable, match=r"could not be resolved: .*nowhere"):
        _resolve(tmp_path, "probe @ file:///nowhere/probe-1.0-py3-none-any.whl")


def test_impossible_requirement_is_named() -> None:
    with pytest.raises(EnvironmentUnresolvable, match=r"no-such-package-raylift-zzz was not found"):
        resolve(["no-such-package-raylift-zzz==1.0"])


def test_package_of_the_index_is_locked(tmp_path: Path) -> None:
    assert _resolve(tmp_path, "humanize==4.9.0", "scikit-learn") == ("humanize==4.9.0",)


class TestIndexThatGoesAway:
    """Cached packages resolve without a network. Others fail with a message that the index is out of reach."""

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch) -> None:
        for name in (*_NO_INDEX, "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    def test_cached_packages_resolve(self, monkeypatch, tmp_path: Path, make_wheel) -> None:
        make_wheel("probe", "1.0", folder=tmp_path / "index" / "probe")
        with _index(tmp_path / "index") as url:
            monkeypatch.setenv("PIP_INDEX_URL", url)
            assert _resolve(tmp_path, "probe") == ("probe==1.0",)
        assert _resolve(tmp_path, "probe") == ("probe==1.0",)

    def test_uncached_package_fails_without_a_network(self, monkeypatch, tmp_path: Path) -> None:
        (tmp_path / "index").mkdir()
        with _index(tmp_path / "index") as url:
            monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(EnvironmentUnresolvable, match=r"probe could not be resolved: .*Connection refused"):
            _resolve(tmp_path, "probe")


@contextmanager
def _index(folder: Path) -> Iterator[str]:
    """A package index over HTTP: folders of wheels, listed by the standard library's server."""
    handler = partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the standard library's name)
        """Log nothing."""
