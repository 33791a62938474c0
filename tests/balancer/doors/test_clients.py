from __future__ import annotations

from balancer.doors.clients import LINGER_S, ClientLimits, Clients
from tests.fakes import Hall


class Connection:
    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.kept = 0

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


def test_reading_away_what_a_refused_client_still_sends_is_short() -> None:
    assert ClientLimits().line_s > LINGER_S > 0
