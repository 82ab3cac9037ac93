"""The map of names: changed while HAProxy runs, and when it is replaced."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.ingress.route_map import IngressMap, names_file
from tests.integration.ingress.conftest import INFERENCE, NAMES, PLAIN, Ingress
from tests.integration.ingress.raw_http import Raw, post


@pytest.fixture
def names(ingress: Ingress) -> Iterator[IngressMap]:
    names = IngressMap(ingress.directory)
    yield names
    names.put(NAMES)


def who(ingress: Ingress) -> str:
    return httpx.post(ingress.url + INFERENCE, content=PLAIN, trust_env=False).json()["who"]


def test_changes_are_seen_at_once(ingress: Ingress, names: IngressMap) -> None:
    assert who(ingress) == "replica"
    names.put({name: route for name, route in NAMES.items() if name != "churn"})
    assert who(ingress) == "gateway"
    names.put({})
    assert httpx.get(f"{ingress.url}/v2/models/5", trust_env=False).json()["who"] == "gateway"
    names.put(NAMES)
    assert who(ingress) == "replica"


def test_hundreds_of_models_fit(ingress: Ingress, names: IngressMap) -> None:
    many = {f"model-{number}" + "x" * 100: f"/v2/models/model-{number}/versions/{number}" for number in range(1000)}
    names.put({**many, **NAMES})
    assert who(ingress) == "replica"
    assert names_file(ingress.directory).read_text().count("\n") == 1000 + len(NAMES)


def test_what_a_new_haproxy_missed_is_made_good(ingress: Ingress, names: IngressMap) -> None:
    # It read the file, and then, before it took the socket over, the file and the former one were changed.
    stale = {name: route for name, route in NAMES.items() if name != "churn"}
    names.put(stale)
    names_file(ingress.directory).write_text("".join(f"{name} {route}\n" for name, route in NAMES.items()))
    assert who(ingress) == "gateway"
    names.put(NAMES)
    assert who(ingress) == "replica"


def test_the_map_outlives_a_reload(ingress: Ingress, names: IngressMap) -> None:
    names.put({"churn": NAMES["churn"]})
    ingress.reload()
    assert who(ingress) == "replica"
    assert httpx.get(f"{ingress.url}/v2/models/5", trust_env=False).json()["who"] == "gateway"


def test_connections_of_a_replaced_haproxy_go_to_the_gateway(ingress: Ingress) -> None:
    """It answers them until they close, and hears of no change any more."""
    connection = Raw(ingress.port)
    connection.send(post(INFERENCE, PLAIN))
    assert connection.answer()[1]["who"] == "replica"
    ingress.reload()
    connection.send(post(INFERENCE, PLAIN))
    assert connection.answer()[1]["who"] == "gateway"
    connection.close()


def test_a_socket_that_nobody_listens_at_is_no_error(ingress: Ingress, names: IngressMap) -> None:
    import socket

    left = ingress.directory / "former"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(left / "a.sock"))
    names.put({})
    (left / "a.sock").unlink()


def test_a_haproxy_without_the_map_is_told_of(ingress: Ingress, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("h")
    (elsewhere / "node").mkdir()
    (elsewhere / "node" / "a.sock").symlink_to(ingress.runtime_socket)
    with pytest.raises(EngineUnavailable, match="map of names"):
        IngressMap(elsewhere).put(NAMES)
