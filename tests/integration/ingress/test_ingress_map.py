"""The map of model names: changes while HAProxy runs, and a reload of HAProxy."""

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


def test_map_changes_take_effect_at_once(ingress: Ingress, names: IngressMap) -> None:
    assert who(ingress) == "replica"
    names.put({name: route for name, route in NAMES.items() if name != "churn"})
    assert who(ingress) == "gateway"
    names.put({})
    assert httpx.get(f"{ingress.url}/v2/models/5", trust_env=False).json()["who"] == "gateway"
    names.put(NAMES)
    assert who(ingress) == "replica"


def test_map_holds_hundreds_of_models(ingress: Ingress, names: IngressMap) -> None:
    many = {f"model-{number}" + "x" * 100: f"/v2/models/model-{number}/versions/{number}" for number in range(1000)}
    names.put({**many, **NAMES})
    assert who(ingress) == "replica"
    assert names_file(ingress.directory).read_text().count("\n") == 1000 + len(NAMES)


def test_changes_that_a_new_haproxy_missed_are_sent_again(ingress: Ingress, names: IngressMap) -> None:
    # The new HAProxy read the file. Before it took over the socket, the file and the old process were changed.
    stale = {name: route for name, route in NAMES.items() if name != "churn"}
    names.put(stale)
    names_file(ingress.directory).write_text("".join(f"{name} {route}\n" for name, route in NAMES.items()))
    assert who(ingress) == "gateway"
    names.put(NAMES)
    assert who(ingress) == "replica"


def test_map_survives_a_reload(ingress: Ingress, names: IngressMap) -> None:
    names.put({"churn": NAMES["churn"]})
    ingress.reload()
    assert who(ingress) == "replica"
    assert httpx.get(f"{ingress.url}/v2/models/5", trust_env=False).json()["who"] == "gateway"


def test_requests_at_a_replaced_haproxy_go_to_the_gateway(ingress: Ingress) -> None:
    """The old process answers its connections until they close, and gets no further changes."""
    connection = Raw(ingress.port)
    connection.send(post(INFERENCE, PLAIN))
    assert connection.answer()[1]["who"] == "replica"
    ingress.reload()
    connection.send(post(INFERENCE, PLAIN))
    assert connection.answer()[1]["who"] == "gateway"
    connection.close()


def test_socket_without_a_listener_is_no_error(ingress: Ingress, names: IngressMap) -> None:
    import socket

    left = ingress.directory / "former"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(left / "a.sock"))
    names.put({})
    (left / "a.sock").unlink()


def test_haproxy_without_the_map_is_reported(ingress: Ingress, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("h")
    (elsewhere / "node").mkdir()
    (elsewhere / "node" / "a.sock").symlink_to(ingress.runtime_socket)
    with pytest.raises(EngineUnavailable, match="map of names"):
        IngressMap(elsewhere).put(NAMES)
