"""Builds of PyTorch from its own index, which a proxy plays."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raylift.engines.environments.errors import EnvironmentUnresolvable
from raylift.engines.environments.locking.cuda_note import cuda_note
from raylift.engines.environments.locking.lock_cache import lock_of
from raylift.engines.environments.overlays.overlay import download_cache, ensure_overlay, environment_hash
from tests.integration.environments.pytorch_index import HOST, PytorchIndex, pytorch_index
from tests.integration.environments.slow_index import SlowIndex, slow_index

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("UV_CACHE_DIR", "UV_FIND_LINKS", "PIP_FIND_LINKS", "PIP_NO_INDEX", "UV_TORCH_BACKEND", *_PROXIES):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "environments"


@pytest.fixture
def own_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowIndex]:
    """The platform's own package index. It has a PyTorch for CUDA."""
    with slow_index(bytes_per_second=10**9) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        index.add("torch", 1000, requires=("nvidia-cublas-cu13", "light"))
        index.add("nvidia_cublas_cu13", 5000)
        index.add("light", 10)
        yield index


@pytest.fixture
def pytorch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_wheel: Callable[..., Path], root: Path
) -> Iterator[PytorchIndex]:
    with pytorch_index(tmp_path) as index:
        monkeypatch.setenv("HTTPS_PROXY", index.proxy)
        monkeypatch.setenv("UV_INSECURE_HOST", HOST)
        for build in ("cpu", "cu128"):
            wheel = make_wheel("torch", f"1.0+{build}", "light", folder=tmp_path / build)
            index.wheels[build] = [wheel]
        yield index


@pytest.mark.usefixtures("own_index")
def test_requested_build_comes_from_pytorch_index(root: Path, pytorch: PytorchIndex) -> None:
    lock = lock_of(["torch"], root, torch_backend="cpu")
    assert lock[0] == "light==1.0"
    name, _, url = lock[1].partition(" @ ")
    assert (name, url.partition("#")[0]) == ("torch", f"https://{HOST}/whl/cpu/torch-1.0%2Bcpu-py3-none-any.whl")
    # The lock holds the address of the build: building it needs no further option.
    python = ensure_overlay(lock, root)
    run = subprocess.run([python, "-c", "import torch; print(torch.VERSION)"], capture_output=True, text=True, check=True)
    assert run.stdout == "1.0+cpu\n"
    assert all(path.startswith("/whl/cpu/") for path in pytorch.asked)


@pytest.mark.usefixtures("own_index", "pytorch")
def test_each_build_has_an_environment_of_its_own(root: Path) -> None:
    locks = [lock_of(["torch"], root, torch_backend=build) for build in ("auto", "cpu", "cu128")]
    assert len({environment_hash(lock) for lock in locks}) == 3
    # From the cache, too.
    assert [lock_of(["torch"], root, torch_backend=build) for build in ("auto", "cpu", "cu128")] == locks


@pytest.mark.usefixtures("own_index")
def test_other_packages_do_not_use_pytorch_index(root: Path, pytorch: PytorchIndex) -> None:
    assert lock_of(["light"], root, torch_backend="cpu") == ("light==1.0",)
    assert pytorch.asked == []


@pytest.mark.usefixtures("own_index")
def test_auto_takes_the_build_of_the_platform_index(root: Path, pytorch: PytorchIndex) -> None:
    assert lock_of(["torch"], root) == ("light==1.0", "nvidia-cublas-cu13==1.0", "torch==1.0")
    assert pytorch.asked == []


@pytest.mark.usefixtures("own_index")
def test_unreachable_index_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(EnvironmentUnresolvable, match=f"https://{HOST}/whl/cpu/torch/"):
            lock_of(["torch"], root, torch_backend="cpu")


@pytest.mark.usefixtures("own_index")
def test_unknown_build_is_refused_with_the_known_ones(root: Path) -> None:
    with pytest.raises(EnvironmentUnresolvable, match=r"invalid value 'cu999'.*cu128"):
        lock_of(["torch"], root, torch_backend="cu999")


def test_needless_cuda_download_is_reported_with_its_size(root: Path, own_index: SlowIndex) -> None:
    lock = lock_of(["torch"], root)
    note = cuda_note(lock, cache_dir=download_cache(root), torch_backend="auto")
    # A plain index does not give the size of its files. One with PyPI's JSON does.
    assert note is not None
    assert "does not say how many" in note
    own_index.tells_sizes = True
    note = cuda_note(lock, cache_dir=root / "another", torch_backend="auto")
    assert note is not None
    sizes = {name: len(content) for name, content in own_index.wheels.items()}
    assert f"({sizes['nvidia_cublas_cu13-1.0-py3-none-any.whl'] / 1024:.2f}".rstrip("0") in note
    assert "`torch_backend: cpu`" in note


def test_no_note_without_cuda_packages(root: Path) -> None:
    assert cuda_note(["light==1.0", "torch==1.0"], cache_dir=root, torch_backend="auto") is None
    # XGBoost needs nvidia-nccl: a hint about PyTorch would not help.
    assert cuda_note(["nvidia-nccl-cu12==2", "xgboost==3"], cache_dir=root, torch_backend="auto") is None
