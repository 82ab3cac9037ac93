"""Hosts that the gateway answers for, and proxies whose headers it believes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.datastructures import Headers

from raylift.domain.errors import PlatformError
from raylift.ingress.allowed_hosts import allowed_hosts, host_name
from raylift.run_settings import IngressSettings
from raylift.settings import ClusterSettings, GatewaySettings, PlatformSettings
from serve_apps.gateway.http.hosts import Hosts


def settings(*, ingress: bool = True, url: str = "http://127.0.0.1:8000", **gateway: object) -> PlatformSettings:
    return PlatformSettings(
        state_dir=Path("/s"),
        database_url="",
        mlflow_url="",
        ray_dashboard_url="",
        gateway_url=url,
        ingress=IngressSettings(directory=Path("/i"), token="t") if ingress else None,
        gateway=GatewaySettings.model_validate(gateway),
    )


def refusal(
    rules: PlatformSettings, headers: dict[str, str], client: str | None = "127.0.0.1", **scope: str
) -> PlatformError | None:
    asked = {"type": "http", "method": "POST", "client": (client, 1) if client else None, **scope}
    return Hosts.of(rules).refusal(asked, Headers(headers))


@pytest.mark.parametrize(
    ("header", "name"),
    [("A.Example:80", "a.example"), ("a.example", "a.example"), ("[::1]:8000", "[::1]"), ("[FE80::1]", "[fe80::1]"), ("", "")],
)
def test_port_is_not_part_of_a_name(header: str, name: str) -> None:
    assert host_name(header) == name


def test_loopback_names_own_address_and_listed_names_are_allowed() -> None:
    names = allowed_hosts(settings(url="http://10.0.0.5:8000", allowed_hosts=["Models.Example"]))
    assert names == {"127.0.0.1", "localhost", "[::1]", "10.0.0.5", "models.example"}


@pytest.mark.parametrize("name", ["a.example:80", "http://a.example", "", "a b", "::1"])
def test_wrong_name_in_the_settings_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(allowed_hosts=(name,))


@pytest.mark.parametrize("scope", [{}, {"method": "GET"}, {"type": "websocket"}])
@pytest.mark.parametrize("host", ["evil.example:8000", "", "127.0.0.1.evil.example", "localhost@evil.example"])
def test_foreign_host_is_refused_for_every_method(host: str, scope: dict[str, str]) -> None:
    error = refusal(settings(), {"host": host}, **scope)
    assert error is not None
    assert error.code == "host_refused"
    assert "--allowed-host" in error.detail


def test_listed_host_is_answered() -> None:
    assert refusal(settings(allowed_hosts=["a.example"]), {"host": "a.example:8000"}) is None
    assert refusal(settings(allowed_hosts=["*"]), {"host": "b.example"}) is None


def test_host_of_another_node_is_left_to_its_ingress() -> None:
    files = {"document_file": Path("/d"), "join_token_file": Path("/t")}
    cluster = {"cluster": ClusterSettings(label="h", **files)}
    of_several = settings(allowed_hosts=["a.example"], trusted_proxies=["127.0.0.0/8"]).model_copy(update=cluster)
    assert refusal(of_several, {"host": "10.0.0.6:8000"}) is None
    assert refusal(of_several, {"host": "10.0.0.6:8000", "origin": "http://10.0.0.7:8000"}) is not None
    assert refusal(of_several, {"host": "10.0.0.6:8000", "x-forwarded-host": "evil.example"}) is not None
    assert refusal(settings(ingress=False).model_copy(update=cluster), {"host": "10.0.0.6:8000"}) is not None


PAGE = {"host": "127.0.0.1:8000", "origin": "https://a.example", "x-forwarded-host": "a.example"}


@pytest.mark.parametrize("ingress", [True, False])
def test_page_behind_a_trusted_proxy_is_of_the_same_origin(ingress: bool) -> None:
    told = settings(ingress=ingress, allowed_hosts=["a.example"], trusted_proxies=["127.0.0.0/8"])
    assert refusal(told, PAGE) is None


@pytest.mark.parametrize("client", ["10.0.0.9", None])
def test_forwarded_host_of_another_address_is_ignored(client: str | None) -> None:
    told = settings(ingress=False, allowed_hosts=["a.example"], trusted_proxies=["127.0.0.0/8"])
    error = refusal(told, PAGE, client)
    assert error is not None
    assert error.code == "cross_origin_refused"


def test_forwarded_host_is_ignored_without_trusted_proxies() -> None:
    error = refusal(settings(allowed_hosts=["a.example"]), PAGE)
    assert error is not None
    assert error.code == "cross_origin_refused"


def test_proxy_cannot_vouch_for_a_host_that_is_not_listed() -> None:
    """A proxy that answers for every name passes on what a page chose."""
    error = refusal(settings(trusted_proxies=["127.0.0.1"]), PAGE)
    assert error is not None
    assert error.code == "host_refused"
