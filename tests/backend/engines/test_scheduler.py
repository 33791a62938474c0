from __future__ import annotations

from collections.abc import Sequence as Ids
from typing import Any

import pytest

from backend.engines.base import Piece, Sampling, SoFar
from backend.engines.detokenize import Detokenizer
from backend.engines.runner import PREFILL_CHUNK, REPLAY_CHUNK, Row
from backend.engines.scheduler import PREFILL_BUDGET, REPLAY_COST, Counts, Scheduler
from backend.engines.sequence import Sequence
from tests.backend.engines.test_detokenize import Bytes

pytestmark = pytest.mark.torch


class CountingRunner:
    """A model that says the next letter; it keeps what it was asked."""

    def __init__(self) -> None:
        self.prefilled: list[int] = []
        self.replayed: list[int] = []
        self.decoded: list[int] = []
        self.joined: list[Row] = []

    def prefill(self, row: Row, token_ids: Ids[int]) -> Any:
        self.prefilled.append(len(token_ids))
        row.length += len(token_ids)
        return self._logits(token_ids[-1])

    def replay(self, row: Row, token_ids: Ids[int]) -> Any:
        self.replayed.append(len(token_ids))
        row.length += len(token_ids)
        return self._logits(token_ids[-1])

    def join(self, row: Row) -> None:
        row.index = len(self.joined)
        self.joined.append(row)

    def decode(self, rows: Ids[Row], token_ids: Ids[int]) -> Any:
        import torch

        assert list(rows) == self.joined
        self.decoded.append(len(rows))
        for row in rows:
            row.length += 1
        return torch.stack([self._logits(token) for token in token_ids])

    def leave(self, row: Row) -> None:
        if row in self.joined:
            self.joined.remove(row)
            for index, other in enumerate(self.joined):
                other.index = index

    def _logits(self, token: int) -> Any:
        import torch

        return torch.nn.functional.one_hot(torch.tensor(token + 1), 128).float()


def sequence(prompt: bytes = b"A", max_tokens: int = 3, so_far: bytes = b"") -> Sequence:
    sampling, detokenizer = Sampling(max_tokens=max_tokens, temperature=0.0), Detokenizer(Bytes(), prompt)
    said = SoFar(so_far.decode(), tuple(so_far))
    return Sequence(tuple(prompt), sampling, detokenizer=detokenizer, eos_ids=frozenset(), room=1000, so_far=said)


def scheduler(slots: int = 4) -> tuple[Scheduler, CountingRunner]:
    runner = CountingRunner()
    return Scheduler(runner, slots), runner


def texts(made: list[tuple[Sequence, Piece]]) -> list[str]:
    return [piece.text for _, piece in made]


def test_a_sequence_gets_its_first_token_in_the_step_it_joins() -> None:
    batch, runner = scheduler()
    batch.add(sequence(b"A"))
    assert texts(batch.step()) == ["B"]
    assert runner.decoded == []
    assert texts(batch.step()) == ["C"]
    last = batch.step()
    assert last[0][1].finish_reason == "length"
    assert batch.is_idle
    assert batch.step() == []


def test_a_joiner_waits_for_nobody_and_nobody_for_it() -> None:
    batch, runner = scheduler()
    batch.add(sequence(b"A", max_tokens=10))
    batch.step()
    batch.add(sequence(b"M"))
    assert texts(batch.step()) == ["C", "N"]
    assert texts(batch.step()) == ["D", "O"]
    assert runner.decoded == [1, 2]


def test_one_leaves_and_the_next_in_line_takes_its_slot_in_order() -> None:
    batch, _ = scheduler(slots=2)
    for prompt in (b"A", b"H", b"P"):
        batch.add(sequence(prompt, max_tokens=2))
    assert texts(batch.step()) == ["B", "I"]
    assert batch.counts().waiting == 1
    assert texts(batch.step()) == ["C", "J"]
    assert texts(batch.step()) == ["Q"]


def test_a_prompt_of_two_chunks_has_its_first_token_in_the_second_step() -> None:
    batch, runner = scheduler()
    batch.add(sequence(b"A" * (PREFILL_CHUNK + 10)))
    assert batch.step() == []
    assert batch.counts() == Counts(running=1, prefill_tokens_running=10, kv_tokens=PREFILL_CHUNK)
    assert texts(batch.step()) == ["B"]
    assert runner.prefilled == [PREFILL_CHUNK, 10]


def test_a_steps_prompts_stay_within_the_budget_and_chunks_are_always_cut_alike() -> None:
    batch, runner = scheduler(slots=8)
    for size in (PREFILL_CHUNK - 10, 20, 5):
        batch.add(sequence(b"A" * size))
    assert len(batch.step()) == 1
    assert len(batch.step()) == 3
    assert runner.prefilled == [PREFILL_CHUNK - 10, 20, 5]


def test_what_was_said_before_is_replayed_behind_the_prompt_and_gone_on_with() -> None:
    batch, runner = scheduler()
    batch.add(sequence(b"A", so_far=b"BCD", max_tokens=2))
    assert texts(batch.step()) == ["E"]
    last = batch.step()
    assert (texts(last), last[0][1].finish_reason) == (["F"], "length")
    assert (runner.prefilled, runner.replayed) == ([1], [3])


def test_a_long_replay_takes_several_steps_while_others_go_on() -> None:
    batch, runner = scheduler()
    batch.add(sequence(b"A", max_tokens=9))
    batch.step()
    step_tokens = PREFILL_BUDGET // REPLAY_COST // REPLAY_CHUNK * REPLAY_CHUNK
    batch.add(sequence(b"A", so_far=b"M" * (step_tokens + REPLAY_CHUNK)))
    assert texts(batch.step()) == ["C"]
    assert batch.counts().prefill_tokens_running > 0
    assert texts(batch.step()) == ["D", "N"]
    assert set(runner.replayed) == {REPLAY_CHUNK}


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_removed_sequence_makes_nothing_more_wherever_it_was(steps: int) -> None:
    batch, runner = scheduler(slots=1)
    running, waiting = sequence(b"A" * (PREFILL_CHUNK + 1), max_tokens=9), sequence(b"H")
    batch.add(running)
    batch.add(waiting)
    for _ in range(steps):
        batch.step()
    batch.remove(running)
    assert texts(batch.step()) == ["I"]
    batch.remove(waiting)
    assert batch.is_idle
    assert not runner.joined
    assert batch.counts() == Counts()
