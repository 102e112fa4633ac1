"""Which addresses and URLs webhooks may have."""

from __future__ import annotations

import ipaddress

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.webhooks import parse_webhook_url
from runnel.webhooks.addresses import is_public, look_up

PRIVATE = """
    127.0.0.1 127.8.8.8 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1
    192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 fe80::1 fe80::1%eth0 fec0::1 fc00::1
    fd12:3456:789a::1 ff02::1 ff0e::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 2001::1 100::1 64:ff9b::127.0.0.1
    64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 3fff::1 5f00::1
"""
PUBLIC = """
    1.1.1.1 8.8.8.8 172.32.0.1 193.0.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_an_address_that_is_not_of_the_public_internet_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0", "::ffff:127.0.0.1", "127.0.0.1"]
)
def test_no_way_to_write_the_own_machine_gets_past_the_check(host: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"must not resolve to a non-public IP address\. .* resolves to"):
        look_up(host, 80, allow_private=False)
    assert look_up(host, 80, allow_private=True)


def test_a_host_of_which_one_address_is_private_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("1.1.1.1", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(InvalidParameterValue, match="'two.example' resolves to 10.0.0.1"):
        look_up("two.example", 80, allow_private=False)
    assert look_up("two.example", 80, allow_private=True) == [(2, ("1.1.1.1", 80)), (2, ("10.0.0.1", 80))]


@pytest.mark.parametrize("host", [".", "a..b", "x" * 64 + ".example"])
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidParameterValue, match="Cannot resolve Webhook URL hostname"):
        look_up(host, 80, allow_private=True)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("https://example.com", "https", "example.com", 443),
        ("http://Example.com/a?b#c", "http", "example.com", 80),
        ("HTTPS://user:password@example.com:8443/", "https", "example.com", 8443),
        ("http://[::1]:5000/hook", "http", "::1", 5000),
    ],
)
def test_a_url_says_where_it_leads(url: str, scheme: str, host: str, port: int) -> None:
    found = parse_webhook_url(url, ("https", "http"))
    assert (found["scheme"], found["host"], found["port"]) == (scheme, host, port)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "cannot be empty"),
        (" \t", "cannot be empty"),
        ("example.com/hook", "Invalid webhook URL scheme: ''. Allowed schemes are: https, http."),
        ("file:///etc/passwd", "Invalid webhook URL scheme: 'file'"),
        ("ftp://example.com", "Invalid webhook URL scheme: 'ftp'"),
        ("gopher://example.com", "Invalid webhook URL scheme: 'gopher'"),
        ("unix:///run/docker.sock", "Invalid webhook URL scheme: 'unix'"),
        ("https://", "must include a hostname"),
        ("https:///hook", "must include a hostname"),
        ("https://:443/", "must include a hostname"),
        ("https://[::1/", "Invalid webhook URL"),
        ("https://example.com:99999/", "Port out of range"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com/a b", "holds a space"),
        ("https://example.com/\r\nX-Injected: 1", "control character"),
        ("https://example.com/" + "a" * 2_048, "'url' exceeds the maximum length of 2048 characters"),
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        parse_webhook_url(url, ("https", "http"))
    assert message in refused.value.message
