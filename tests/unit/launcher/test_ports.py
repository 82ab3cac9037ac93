from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from raylift.launcher.errors import PortTaken
from raylift.launcher.run.config import Ports
from raylift.launcher.run.ports import BLOCK_SIZE, PlatformPorts, choose_ports, is_free, listening_ports, require_free

ANY = Ports(gateway=0, ray_dashboard=0, mlflow=0, grpc=None, internal=0)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        yield taken.getsockname()[1]


def test_taken_port_is_refused_with_its_holder(listener: int) -> None:
    with pytest.raises(PortTaken) as caught:
        require_free(ANY.model_copy(update={"mlflow": listener}), "127.0.0.1")
    assert f"Port {listener} is taken: MLflow wants it, and process {os.getpid()}" in caught.value.detail
    assert "--mlflow-port" in (caught.value.hint or "")


def test_listening_port_counts_as_taken(listener: int) -> None:
    assert not is_free(listener)
    assert listener in listening_ports()


def test_port_zero_is_chosen_from_the_block() -> None:
    with choose_ports(ANY, "127.0.0.1") as ports:
        assert {ports.gateway, ports.ray_dashboard, ports.mlflow} <= set(range(ports.block, ports.block + BLOCK_SIZE))


def test_grpc_has_a_port_only_if_requested(listener: int) -> None:
    with choose_ports(ANY, "127.0.0.1") as ports:
        assert "grpc" not in ports.as_dict()
    with choose_ports(ANY.model_copy(update={"grpc": 0}), "127.0.0.1") as ports:
        assert ports.grpc in range(ports.block, ports.block + BLOCK_SIZE)
        assert PlatformPorts(**ports.as_dict()) == ports
    with pytest.raises(PortTaken, match="gRPC wants it"):
        require_free(ANY.model_copy(update={"grpc": listener}), "127.0.0.1")


def test_two_launchers_choose_different_blocks() -> None:
    with ExitStack() as stack:
        blocks = [stack.enter_context(choose_ports(ANY, "127.0.0.1")).block for _ in range(3)]
    assert len(set(blocks)) == 3


def test_requested_block_must_be_free() -> None:
    with choose_ports(ANY, "127.0.0.1") as first, ExitStack() as stack:
        same = choose_ports(ANY.model_copy(update={"internal": first.block}), "127.0.0.1")
        with pytest.raises(PortTaken, match=str(first.block)):
            stack.enter_context(same)


def test_each_port_has_one_use() -> None:
    ports = PlatformPorts(gateway=20016, ray_dashboard=20017, mlflow=20018, block=20000)
    used = [*ports.internal.values(), *ports.replicas, *ports.replicas_grpc, *ports.workers, 20016, 20017, 20018, 20000]
    assert len(used) == len(set(used))
    assert max(used) < 20000 + BLOCK_SIZE
