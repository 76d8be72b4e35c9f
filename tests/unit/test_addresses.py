import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.channels.addresses import (
    METADATA,
    Allowed,
    BlockedAddress,
    InvalidOutbound,
    allowed,
    check,
    host_key,
    special,
)

NOBODY = Allowed()
KINDS = [
    ("127.0.0.1", "private"),
    ("127.255.255.254", "private"),
    ("10.0.0.1", "private"),
    ("172.16.0.1", "private"),
    ("192.168.1.1", "private"),
    ("100.64.0.1", "private"),
    ("100.127.255.255", "private"),
    ("198.18.0.1", "private"),
    ("192.0.2.1", "private"),
    ("::1", "private"),
    ("fc00::1", "private"),
    ("fd12::1", "private"),
    ("2001:db8::1", "private"),
    (str(ipaddress.IPv4Address(0)), "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("::", "unspecified"),
    ("169.254.1.1", "link-local"),
    ("fe80::1", "link-local"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("ff02::1", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("fec0::1", "reserved"),
    ("64:ff9b:1::1", "reserved"),
    ("2001::1", "reserved"),
    ("192.88.99.1", "reserved"),
    ("192.0.0.8", "reserved"),
    ("100:0:0:1::1", "reserved"),
    ("169.254.169.254", "metadata"),
    ("100.100.100.200", "metadata"),
    ("168.63.129.16", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("::ffff:127.0.0.1", "private"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:0:10.0.0.1", "private"),
    ("::127.0.0.1", "private"),
    ("2002:7f00:1::", "private"),
    ("2002:a9fe:a9fe::1", "metadata"),
    ("2002:101:101::1", "reserved"),
    ("64:ff9b::7f00:1", "private"),
    ("64:ff9b::a9fe:a9fe", "metadata"),
    ("2600::5efe:10.0.0.1", "private"),
    ("fe80::5efe:10.0.0.1", "private"),
]


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_what_kind_an_address_is_of(text: str, kind: str) -> None:
    assert special(ipaddress.ip_address(text)) == kind


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1",
     "172.32.0.1", "100.128.0.1", "11.0.0.1"],
)  # fmt: skip
def test_public_addresses_are_not_special(text: str) -> None:
    assert special(ipaddress.ip_address(text)) is None
    assert check("shop.example", 443, [text], NOBODY) == [text]


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_like_itself(address: ipaddress.IPv4Address) -> None:
    number, plain = int(address), special(address)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    translated = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number)
    six_to_four = ipaddress.IPv6Address(0x2002 << 112 | number << 80)
    assert special(mapped) == special(translated) == plain
    assert special(six_to_four) == (plain or "reserved")


@given(st.ip_addresses())
def test_nothing_that_the_registries_call_private_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert special(address) is not None


def test_one_bad_address_refuses_the_name() -> None:
    with pytest.raises(BlockedAddress, match=r"evil\.example \(10\.0\.0\.1\)"):
        check("evil.example", 80, ["93.184.215.14", "10.0.0.1"], NOBODY)


def test_the_message_says_what_to_write() -> None:
    with pytest.raises(BlockedAddress, match=r'allow = \["crm\.internal:8443"\]'):
        check("crm.internal", 8443, ["10.1.2.3"], NOBODY)


def test_a_refused_address_is_a_failed_connection_too() -> None:
    assert issubclass(BlockedAddress, httpx.ConnectError)
    assert BlockedAddress.code == "blocked-address"


def test_a_host_that_is_named_may_be_private() -> None:
    allow = allowed(["crm.internal", "127.0.0.1:8081", "[::1]:9000", "10.0.0.7"])
    assert check("crm.internal", 443, ["10.1.2.3", "fd12::1"], allow)
    assert check("CRM.Internal.", 80, ["127.0.0.1"], allow)
    assert check("127.0.0.1", 8081, ["127.0.0.1"], allow)
    assert check("::1", 9000, ["::1"], allow)
    assert check("10.0.0.7", 1, ["10.0.0.7"], allow)


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", 8082, "127.0.0.1"),
        ("127.0.0.2", 8081, "127.0.0.2"),
        ("localhost", 8081, "127.0.0.1"),
        ("2130706433", 8081, "127.0.0.1"),
        ("evil.example", 8081, "127.0.0.1"),
        ("not.crm.internal", 80, "10.0.0.1"),
        ("crm.internal.evil.example", 80, "10.0.0.1"),
    ],
)
def test_nobody_else_profits_from_what_is_allowed(host: str, port: int, address: str) -> None:
    allow = allowed(["crm.internal", "127.0.0.1:8081"])
    with pytest.raises(BlockedAddress):
        check(host, port, [address], allow)


@pytest.mark.parametrize("address", [*sorted(map(str, METADATA)), "169.254.9.9", "0.1.1.1"])
def test_a_name_never_allows_metadata_or_link_local(address: str) -> None:
    with pytest.raises(BlockedAddress):
        check("crm.internal", 80, [address], allowed(["crm.internal"]))
    assert check(address, 80, [address], allowed([address])) == [address]


def test_a_zone_does_not_hide_an_address() -> None:
    with pytest.raises(BlockedAddress, match="link-local"):
        check("printer.example", 80, ["fe80::1%eth0"], NOBODY)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Shop.Example.", "shop.example"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_has_one_spelling(text: str, same: str) -> None:
    assert host_key(text) == same


@pytest.mark.parametrize(
    "text",
    ["", ":80", "host:", "host:0", "host:65536", "host:http", "http://host", "a b", "*.internal",
     "user@host", "host/path", "a:b:c", "host:-1"],
)  # fmt: skip
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidOutbound, match="allow"):
        allowed([text])
