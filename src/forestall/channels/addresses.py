"""Which addresses a request may go to: public ones, and those of hosts that are allowed by name.

A host is judged by the addresses that it resolves to, never by its spelling, so ``2130706433``,
``0x7f.1`` and ``localhost`` are all 127.0.0.1. Special addresses are those of the IANA registries
for IPv4 and IPv6 (RFC 6890), also inside forms that embed an IPv4 address.
"""

import ipaddress
from collections.abc import Iterable, Sequence

import httpx
import msgspec

from forestall.contracts.errors import ForestallError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
"""Where clouds tell a machine its own secrets; one of them is a public address."""

_EMBEDDING = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (
        ("::/96", 0),  # IPv4-compatible, RFC 4291
        ("::ffff:0:0/96", 0),  # IPv4-mapped, RFC 4291
        ("::ffff:0:0:0/96", 0),  # IPv4-translated, RFC 2765
        ("64:ff9b::/96", 0),  # NAT64, RFC 6052
        ("2002::/16", 80),  # 6to4, RFC 3056
    )
)
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "100:0:0:1::/64",  # dummy prefix, RFC 9780
        "2001::/32",  # Teredo, RFC 4380
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing, RFC 9602
        "fec0::/10",  # site-local, RFC 3879
    )
)
_ISATAP = 0x5EFE
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")  # given up by RFC 7526


class InvalidOutbound(ForestallError):
    """``[outbound]`` names a host in a way that cannot be understood."""

    code = "invalid-outbound"
    exit_code = 2


class BlockedAddress(ForestallError, httpx.ConnectError):
    """A request was to go to an address that is not public, and whose host is not allowed by name.

    Nothing was sent. If it is meant to go there, name the host in ``[outbound] allow``.
    """

    code = "blocked-address"


class Allowed(msgspec.Struct, frozen=True):
    """The hosts of ``[outbound] allow``: each with a port, or none for any port."""

    entries: frozenset[tuple[str, int | None]] = frozenset()

    def names(self, host: str, port: int) -> bool:
        """Whether ``host``, as the URL spells it, is allowed at ``port``."""
        known = host_key(host)
        return (known, port) in self.entries or (known, None) in self.entries


def allowed(hosts: Iterable[str]) -> Allowed:
    """What ``hosts`` allow: ``crm.internal``, ``127.0.0.1:8081``, ``[::1]:80`` or ``::1``.

    Raises ``InvalidOutbound``.
    """
    return Allowed(frozenset(_entry(text) for text in hosts))


def host_key(host: str) -> str:
    """One spelling for a host: lower case, punycode, no trailing dot, no brackets."""
    plain = host.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        pass
    try:
        return plain.encode("idna").decode() if not plain.isascii() else plain
    except UnicodeError:
        return plain


def check(host: str, port: int, found: Sequence[str], allow: Allowed) -> list[str]:
    """The addresses of ``found``, to which ``host`` resolved, as texts that can be connected to.

    One that is refused refuses them all, as whoever answers for the name decides their order.
    Raises ``BlockedAddress``.
    """
    named = allow.names(host, port)
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        kind = special(address)
        if kind is None or (named and (kind == "private" or host_key(host) == str(address))):
            continue
        shown = host if host_key(host) == str(address) else f"{host} ({address})"
        message = f"{shown} is not a public address ({kind}), so nothing was sent"
        if not named:
            message += f'; if that is meant, name it: [outbound] allow = ["{_spelt(host, port)}"]'
        raise BlockedAddress(message)
    return list(found)


def special(address: Address) -> str | None:
    """What kind of address that is no public one, in a word: ``metadata``, ``link-local``,
    ``multicast``, ``unspecified``, ``reserved`` or ``private``; none for a public one."""
    if address in METADATA:
        return "metadata"
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None and int(address) > 1:
            return special(inner) or ("reserved" if address in _SIX_TO_FOUR else None)
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or address in ipaddress.ip_network("0.0.0.0/8"):
        return "unspecified"
    if any(address in network for network in _REFUSED):
        return "reserved"
    if not address.is_global:
        return "reserved" if address.is_reserved and not address.is_loopback else "private"
    return None


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside, where the form has one."""
    for network, shift in _EMBEDDING:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    if int(address) >> 32 & 0xFFFF == _ISATAP and int(address) >> 48 & 0xFCFF == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _entry(text: str) -> tuple[str, int | None]:
    try:
        return str(ipaddress.ip_address(text.strip("[]"))), None
    except ValueError:
        pass
    host, mark, digits = text.rpartition(":")
    if not mark:
        host = digits
    port = int(digits) if mark and digits.isascii() and digits.isdigit() else None
    sound = host and not any(one in host for one in "/@*? ") and (":" not in host or host[0] == "[")
    if not sound or (mark and (port is None or not 0 < port < 65_536)):
        raise InvalidOutbound(
            f"[outbound] allow: {text!r} is no host; write it like crm.internal or 127.0.0.1:8081"
        )
    return host_key(host), port


def _spelt(host: str, port: int) -> str:
    name = host_key(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
