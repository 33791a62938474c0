from __future__ import annotations

import pytest

from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.doors.clients import LINGER_S, LOCAL_TENANT, ClientLimits, Clients
from balancer.errors import invalid_api_key
from tests.fakes import Hall


class Connection:
    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.kept = 0
        self.unsent = False

    def keep_alive(self) -> None:
        self.kept += 1
        self.clients.closed(self)  # it may well find out now that it is gone

    def drained(self) -> None:
        self.clients.closed(self)


def test_every_open_connection_is_asked_even_if_some_close_meanwhile() -> None:
    clients = Clients(Hall().dispatcher, ClientLimits(), lambda: "id")
    connections = [Connection(clients) for _ in range(3)]
    for connection in connections:
        clients.opened(connection)
    assert clients.connections == 3
    clients.keep_alive()
    assert [connection.kept for connection in connections] == [1, 1, 1]
    assert clients.connections == 0


def test_draining_tells_all_and_closing_twice_is_harmless() -> None:
    clients = Clients(Hall().dispatcher, ClientLimits(), lambda: "id")
    connection = Connection(clients)
    clients.opened(connection)
    clients.drain()
    clients.closed(connection)
    assert clients.connections == 0


def test_an_answer_that_one_client_has_not_read_is_unsent() -> None:
    clients = Clients(Hall().dispatcher, ClientLimits(), lambda: "id")
    reader, slow = Connection(clients), Connection(clients)
    clients.opened(reader)
    clients.opened(slow)
    assert not clients.unsent
    slow.unsent = True
    assert clients.unsent


def test_reading_away_what_a_refused_client_still_sends_is_short() -> None:
    assert ClientLimits().line_s > LINGER_S > 0


HERE, THERE = "127.0.0.1", "10.0.0.9"


def with_keys(*names: str) -> Clients:
    keys = KeyTable(ClientKey(name, digest_of(f"lb-{name}".encode())) for name in names)
    return Clients(Hall().dispatcher, ClientLimits(), lambda: "id", keys)


@pytest.mark.parametrize("peer", [HERE, THERE, ""])
@pytest.mark.parametrize("key", [None, b"", b"whatever an SDK insists on"])
def test_without_keys_everybody_is_the_local_tenant_whatever_he_sends(peer: str, key: bytes | None) -> None:
    assert Clients(Hall().dispatcher, ClientLimits(), lambda: "id").authenticate(peer, key) == LOCAL_TENANT


@pytest.mark.parametrize("peer", [HERE, THERE, ""])
def test_a_key_names_the_tenant_wherever_it_comes_from(peer: str) -> None:
    assert with_keys("alice", "bob").authenticate(peer, b"lb-bob") == "bob"


@pytest.mark.parametrize("peer", [HERE, "::1", "::ffff:127.0.0.1"])
def test_who_is_on_this_machine_may_come_without_a_key(peer: str) -> None:
    assert with_keys("alice").authenticate(peer, None) == LOCAL_TENANT
    assert with_keys().authenticate(peer, None) == LOCAL_TENANT


@pytest.mark.parametrize(
    ("peer", "key"),
    [(HERE, b"lb-carol"), (HERE, b""), (THERE, b"lb-carol"), (THERE, b""), (THERE, None), ("", None)],
)
def test_a_wrong_key_is_refused_everywhere_and_a_missing_one_beyond_this_machine(peer: str, key: bytes | None) -> None:
    clients = with_keys("alice")
    assert clients.authenticate(peer, key) == invalid_api_key()
    assert clients.dispatcher.counts["unauthenticated"] == 1


def test_keys_can_be_swapped_while_it_runs() -> None:
    clients = with_keys("alice")
    clients.keys = KeyTable([ClientKey("bob", digest_of(b"lb-bob"))])
    assert clients.authenticate(THERE, b"lb-bob") == "bob"
    assert clients.authenticate(THERE, b"lb-alice") == invalid_api_key()
