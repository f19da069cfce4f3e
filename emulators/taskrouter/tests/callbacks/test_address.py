"""Callback addresses as they are requested and signed."""

import pytest

from taskrouter_emulator.callbacks.address import parse


@pytest.mark.parametrize(
    ("configured", "requested"),
    [
        ("https://example.com/events?x=1#rc=2", "https://example.com/events?x=1"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://straße.Bücher.example/", "https://xn--strae-oqa.xn--bcher-kva.example/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://example.com:8443/a b?c=d e", "https://example.com:8443/a%20b?c=d%20e"),
        ("https://example.com/%7Eé?q=%C3%A9&w=é", "https://example.com/%7E%C3%A9?q=%C3%A9&w=%C3%A9"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("https://desk:secret@bücher.example:8443/x", "https://xn--bcher-kva.example:8443/x"),
    ],
)
def test_an_address_travels_in_ascii(configured: str, requested: str) -> None:
    assert parse(configured).url == requested


@pytest.mark.parametrize("host", ["ü..example", "ü" * 80 + ".example"])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        parse(f"https://{host}/")


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ("desk:pa%40ss@", "Basic ZGVzazpwYUBzcw=="),
        ("desk@", "Basic ZGVzazo="),
        ("d:ü@", "Basic ZDrDvA=="),
        ("d:%C3%BC@", "Basic ZDrDvA=="),
        ("", None),
    ],
)
def test_credentials_become_basic_auth(credentials: str, header: str | None) -> None:
    address = parse(f"https://{credentials}example.com/x")
    assert (address.url, address.authorization) == ("https://example.com/x", header)
