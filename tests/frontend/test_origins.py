from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.origins import allowed, normalised

NAMED = frozenset({"https://chat.example.org"})


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://LOCALHOST:8000", "localhost:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://192.0.2.7", "192.0.2.7"),
        ("http://192.0.2.7:80", "192.0.2.7"),
        ("https://192.0.2.7", "192.0.2.7:443"),
        ("https://chat.example.org", "127.0.0.1:8000"),
        ("https://CHAT.example.org/", "chat.example.org"),
        (None, "127.0.0.1:8000"),
    ],
)
def test_our_own_page_and_named_origins_come_in(origin, host):
    assert allowed(origin, host, NAMED)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "127.0.0.1:8000"),
        ("http://evil.example:8000", "evil.example:8000"),  # a name made to point here
        ("http://127.0.0.1:9000", "127.0.0.1:8000"),  # another server on this machine
        ("http://localhost:8000", "127.0.0.1:8000"),
        ("http://127.0.0.1.evil.example:8000", "127.0.0.1:8000"),
        ("http://127.0.0.1:8000@evil.example", "127.0.0.1:8000"),
        ("null", "127.0.0.1:8000"),
        ("", "127.0.0.1:8000"),
        ("file://", "127.0.0.1:8000"),
        ("http://127.0.0.1:8000", None),
        ("http://127.0.0.1:99999", "127.0.0.1:8000"),
        ("http://[::1", "[::1"),
        ("http://127.0.0.1:8000", "127.0.0.1:x"),
        ("http://chat.example.org", "chat.example.org"),  # named with https only
    ],
)
def test_foreign_pages_stay_out(origin, host):
    assert not allowed(origin, host, NAMED)


@given(st.none() | st.text(), st.none() | st.text())
def test_nothing_crashes_it(origin, host):
    assert isinstance(allowed(origin, host, NAMED), bool)


def test_an_origin_is_compared_as_browsers_send_it():
    assert normalised(" HTTPS://Chat.Example.org/ ") == "https://chat.example.org"
