from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from balancer.adapters.embedder.waiting import (
    BACKGROUND_MAX,
    ENCODING_BATCH_MAX_BYTES,
    ENCODINGS_MAX,
    LOOKUPS_MAX,
    Ticket,
    WaitingTickets,
)

VECTOR = np.ones(3, np.float32)


class Told(list[object]):
    """What a ticket's callback was told."""

    def ticket(self, text: bytes = b"") -> Ticket:
        return Ticket(text, self.append)


def test_a_ticket_tells_once() -> None:
    told = Told()
    ticket = told.ticket()
    ticket.settle(VECTOR)
    ticket.settle(None)
    ticket.give_up()
    assert told == [VECTOR]


def test_a_late_vector_is_kept_for_who_asks() -> None:
    told = Told()
    ticket = told.ticket()
    ticket.give_up()
    assert ticket.vector is None
    ticket.settle(VECTOR)
    assert told == [None]
    assert ticket.vector is VECTOR


def test_a_cancelled_ticket_tells_nothing() -> None:
    told = Told()
    ticket = told.ticket()
    ticket.cancel()
    ticket.settle(VECTOR)
    assert told == []


async def test_its_timer_ends_with_it() -> None:
    loop = asyncio.get_running_loop()
    for ending in (Ticket.cancel, Ticket.give_up, lambda ticket: ticket.settle(VECTOR)):
        ticket = Told().ticket()
        ticket.timer = timer = loop.call_later(60, ticket.give_up)
        ending(ticket)
        assert timer.cancelled()


def test_a_callback_that_fails_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("not our fault")

    with caplog.at_level(logging.ERROR):
        Ticket(b"", fail).settle(VECTOR)
    assert "not our fault" in caplog.text


def test_lookups_come_first_and_alone_each_in_order() -> None:
    waiting, told = WaitingTickets(), Told()
    later = [told.ticket() for _ in range(3)]
    first = [told.ticket() for _ in range(3)]
    for ticket in later:
        assert waiting.add(ticket, background=True)
    for ticket in first:
        assert waiting.add(ticket, background=False)
    assert (waiting.lookups, waiting.background) == (3, 3)
    assert waiting.take(2) == first[:2]
    assert waiting.take(2) == first[2:]
    assert waiting.take(2) == later[:2]
    assert waiting.take(2) == later[2:]
    assert waiting.take(2) == []


def encodings(waiting: WaitingTickets, *sizes: int) -> list[Ticket]:
    tickets = [Ticket(b"x" * size, Told().append, cut=True) for size in sizes]
    for ticket in tickets:
        assert waiting.add(ticket, background=False)
    return tickets


def test_clients_wait_behind_lookups_and_take_turns_with_background_work() -> None:
    waiting, told = WaitingTickets(), Told()
    later, lookup = told.ticket(), told.ticket()
    asked = encodings(waiting, 1, 1, 1)
    waiting.add(later, background=True)
    waiting.add(lookup, background=False)
    assert [waiting.take(2) for _ in range(5)] == [[lookup], asked[:2], [later], asked[2:], []]


def test_a_batch_of_clients_texts_is_small_but_for_a_single_long_one() -> None:
    waiting = WaitingTickets()
    half, long = ENCODING_BATCH_MAX_BYTES // 2, 10 * ENCODING_BATCH_MAX_BYTES
    asked = encodings(waiting, half, half, 1, long, half, half)
    taken = [waiting.take(16) for _ in range(4)]
    assert taken == [asked[:2], asked[2:3], asked[3:4], asked[4:]]
    assert waiting.encodings == 0


def test_clients_have_only_so_much_room() -> None:
    waiting = WaitingTickets()
    asked = encodings(waiting, *[1] * ENCODINGS_MAX)
    assert not waiting.add(Ticket(b"", Told().append, cut=True), background=False)
    waiting.discard(asked[0])
    assert waiting.encodings == ENCODINGS_MAX - 1
    assert waiting.take_all() == asked[1:]


def test_a_lookup_that_came_too_late_goes_behind_the_others() -> None:
    waiting, told = WaitingTickets(), Told()
    late, other = told.ticket(), told.ticket()
    waiting.add(late, background=False)
    waiting.add(other, background=False)
    waiting.demote(late)
    waiting.demote(told.ticket())  # with the child already
    assert (waiting.lookups, waiting.background) == (1, 1)
    assert waiting.take(16) == [other]
    assert waiting.take(16) == [late]


def test_those_who_leave_are_not_served() -> None:
    waiting, told = WaitingTickets(), Told()
    tickets = [told.ticket() for _ in range(3)]
    for ticket in tickets:
        waiting.add(ticket, background=False)
    waiting.discard(tickets[1])
    waiting.discard(tickets[1])
    assert waiting.take(16) == [tickets[0], tickets[2]]


@pytest.mark.parametrize(("background", "limit"), [(False, LOOKUPS_MAX), (True, BACKGROUND_MAX)])
def test_there_is_only_so_much_room(background: bool, limit: int) -> None:
    waiting, told = WaitingTickets(), Told()
    assert all(waiting.add(told.ticket(), background=background) for _ in range(limit))
    assert not waiting.add(told.ticket(), background=background)
    assert waiting.add(told.ticket(), background=not background)
    assert len(waiting.take_all()) == limit + 1
    assert waiting.lookups == waiting.background == 0
