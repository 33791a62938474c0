from __future__ import annotations

import pytest

from client.address import parse_address


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("localhost", None, ("localhost", 1234)),
        ("192.0.2.7", 5, ("192.0.2.7", 5)),
        ("192.0.2.7:5", None, ("192.0.2.7", 5)),
        ("192.0.2.7:5", 5, ("192.0.2.7", 5)),
        ("[::1]:5", None, ("::1", 5)),
        ("[::1]", None, ("::1", 1234)),
        ("::1", None, ("::1", 1234)),
        ("::1", 5, ("::1", 5)),
        ("http://localhost:5", None, ("localhost", 5)),
        ("http://localhost:5/v1", None, ("localhost", 5)),
        ("http://[::1]:5/", None, ("::1", 5)),
        ("http://lb.example", None, ("lb.example", 80)),
    ],
)
def test_an_address_is_read_as_people_write_it(host: str, port: int | None, found: tuple[str, int]) -> None:
    assert parse_address(host, port) == found


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("https://localhost:5", None, "speaks no TLS"),
        ("ftp://localhost", None, "is no address"),
        ("localhost/v1", None, "is no address"),
        ("localhost:99999", None, "is no address"),
        ("localhost:many", None, "is no address"),
        (":5", None, "is no address"),
        ("localhost:0", None, "is no address"),
        ("", None, "is no address"),
        ("localhost:5", 6, "two ports"),
    ],
)
def test_what_is_none_is_told_in_words(host: str, port: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_address(host, port)
