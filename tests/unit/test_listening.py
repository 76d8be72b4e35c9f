"""Where a server listens, and what is said where it cannot."""

import errno
import os
import socket

import pytest

from forestall.ingest.serve import AddressInUse, AddressUnusable, listen, unusable


def test_a_taken_port_is_told_with_the_setting_that_has_it() -> None:
    with listen("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(AddressInUse) as caught:
            listen("127.0.0.1", port, "app_port")
    assert str(caught.value) == (
        f"127.0.0.1:{port}: Address already in use; stop what listens there, or set [server]"
        " app_port"
    )
    assert caught.value.code == "address-in-use"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"),
        OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol"),
        OSError(errno.EINVAL, "Invalid argument"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        TypeError("encoding of hostname failed"),
    ],
)
def test_what_is_no_address_of_this_machine_is_told_with_what_to_write(
    error: OSError | TypeError,
) -> None:
    told = unusable(error, "10.9.9.9", 8080, "port")
    assert isinstance(told, AddressUnusable)
    assert told.code == "address-unusable"
    assert str(told) == (
        "[server] host = '10.9.9.9': not an address of this machine; set it to 127.0.0.1 (this"
        " machine alone may connect), 0.0.0.0 (every machine that can reach this one may), or one"
        " of its own addresses"
    )


@pytest.mark.parametrize("host", ["ü..b", "ü" * 70, "a\0b"])
def test_what_is_no_address_at_all_is_refused_without_asking_anybody(host: str) -> None:
    with pytest.raises(AddressUnusable, match="not an address of this machine"):
        listen(host, 0)


def test_a_port_for_the_administrator_alone_is_told() -> None:
    told = unusable(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "::1", 80, "port")
    assert isinstance(told, AddressUnusable)
    assert str(told) == (
        "[server] port = 80: this user may not listen there; set it to 1024 or more"
    )
