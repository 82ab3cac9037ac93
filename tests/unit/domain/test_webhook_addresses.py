from __future__ import annotations

from ipaddress import ip_network

import pytest

from raylift.domain.webhooks.addresses import is_allowed


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "2002:5db8:d822::1"])
def test_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200",
        "169.254.169.254", "168.63.129.16", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1",
        "2002:7f00:1::1", "2002:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_inner_address_is_refused(address: str) -> None:
    assert not is_allowed(address, ())


def test_allowed_network_is_allowed_in_all_its_forms() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert all(is_allowed(each, allowed) for each in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::5"))
    assert not any(is_allowed(each, allowed) for each in ("10.2.0.1", "::ffff:10.2.0.1", "127.0.0.1", "fe80::1"))
