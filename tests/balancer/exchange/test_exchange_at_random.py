"""Many requests and whatever may happen to them, at random."""

from __future__ import annotations

import random

import pytest

from balancer.exchange.timeline import Limits
from tests.balancer.exchange.stories import BROKEN, UNREACHABLE, busy
from tests.fakes import Hall


@pytest.mark.parametrize("seed", range(4))
def test_after_ten_thousand_random_operations_nothing_is_held_and_each_was_answered_once(seed: int) -> None:
    rng = random.Random(seed)
    policy = ("round-robin", "least-connections")[seed % 2]
    hall = Hall(policy=policy, queue_size=12, limits=Limits(4.0, 3.0, 5.0, 20.0), cache=seed == 3)
    for name in "abc":
        hall.join(name, slots=rng.randint(1, 3))
    begun, left = [], set()
    for step in range(2500):
        running = hall.upstream.running
        match rng.randrange(10):
            case 0 | 1 | 2:
                begun.append((*hall.ask(f"q{rng.randrange(200)}"), step))
            case 3 | 4 if running:
                rng.choice(running).say("x")
            case 5 if running:
                rng.choice(running).answer("y")
            case 6 if running:
                rng.choice(running).fail(rng.choice([UNREACHABLE, BROKEN, busy(0.3)]))
            case 7 if begun:
                exchange = rng.choice(begun[-20:])[0]
                if exchange is not None and exchange not in left:
                    if exchange.state.live:
                        left.add(exchange)
                    exchange.cancel()
            case 8:
                name = rng.choice("abc")
                if hall.registry.member(hall.leases[name]) is None or rng.random() < 0.3:
                    hall.join(name, slots=rng.randint(1, 3), instance=f"{name}-{rng.randint(1, 2)}")
                elif rng.random() < 0.3:
                    hall.leave(name)
            case _:
                hall.pass_time(rng.choice([0.1, 0.5]), beats=rng.random() < 0.9)
        for backend in hall.registry.view.backends:
            ledger = hall.registry.ledger
            assert ledger.in_flight[backend.index] >= 0
        assert len(hall.queue) <= 12 + 9
    for call in hall.upstream.running:
        if call.running:
            call.answer("z")
    hall.pass_time(25.0)
    assert hall.dispatcher.active == 0
    assert hall.in_flight() == 0
    assert (len(hall.queue), hall.queue.size_bytes) == (0, 0)
    for exchange, sink, step in begun:
        assert sink.endings == (0 if exchange in left else 1), step
    counts = hall.dispatcher.counts
    ended = counts["completed"] + counts["cancelled"]
    ended += sum(n for name, n in counts.items() if name.startswith("failed."))
    assert counts["requests"] == len(begun) == ended
