"""Which addresses a webhook may reach: those of the public Internet, unless a setting allows more.

A name is looked up once, all that it stands for is checked, and the connection goes to what was checked: a name that
stands for something else a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, NamedTuple

from runnel.domain.errors import InvalidParameterValue

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What older versions of Python take for public, though it is for protocols, examples and the inside of networks.
_SPECIAL = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16")]


class Address(NamedTuple):
    """What a socket connects to."""

    family: int
    where: tuple[Any, ...]


def look_up(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """The addresses of a host. Raises OSError when it has none, and InvalidParameterValue when one is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise InvalidParameterValue(f"Cannot resolve Webhook URL hostname {host!r}: {error}") from None
    addresses = list(dict.fromkeys(Address(info[0], info[4]) for info in found))
    for address in addresses:
        number = ipaddress.ip_address(address.where[0])
        if not allow_private and not is_public(number):
            raise InvalidParameterValue(
                f"Webhook URL must not resolve to a non-public IP address. {host!r} resolves to {number}."
            )
    return addresses


def is_public(address: IpAddress) -> bool:
    """Whether an address belongs to one machine on the public Internet; of an IPv4 address within one of IPv6, that."""
    address = _embedded(address)
    return address.is_global and not (
        address.is_multicast
        or address.is_private
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
        or any(address in network for network in _SPECIAL)
    )


def _embedded(address: IpAddress) -> IpAddress:
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
