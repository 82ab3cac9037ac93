"""Network addresses that the platform may ask in the name of a user."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA: Final = frozenset({IPv4Address("168.63.129.16")})
"""Public addresses that a cloud answers from within: Azure's. Others are link-local, unique local or shared."""
_NAT64: Final = IPv6Network("64:ff9b::/96")


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Return True for a public unicast address, and for one in an allowed network.

    An IPv6 address that contains an IPv4 address counts as that one.
    """
    address = _effective(ip_address(text.partition("%")[0]))
    return is_in(address, allowed) or _is_public(address)


def is_in(address: Address, allowed: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in allowed)


def in_allowed_network(text: str, allowed: Sequence[Network]) -> bool:
    """Return True for an address that a setting allows."""
    return is_in(_effective(ip_address(text.partition("%")[0])), allowed)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    return address.is_global and not special and address not in _METADATA


def _effective(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, or else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    return address if inner is None else inner
