from __future__ import annotations

import logging
from typing import Any

import pytest

from backend.engines.load import LoadedModel
from backend.engines.runner import REPLAY_CHUNK, Row, Runner, SlotRunner, SoloRunner, make_runner
from tests.backend.engines.tiny import CONTEXT, make_model

pytestmark = pytest.mark.torch

PROMPTS = [[5, 6, 7], [9, 8, 7, 6, 5, 4, 3, 2, 1], [40] * 20, [11, 12]]


def greedy(runner: Runner, prompts: list[list[int]], steps: int) -> list[list[int]]:
    """The most likely tokens of all prompts, decoded together."""
    import torch

    with torch.inference_mode():
        rows = [Row() for _ in prompts]
        made: dict[Row, list[int]] = {}
        for row, prompt in zip(rows, prompts, strict=True):
            made[row] = [int(runner.prefill(row, prompt).argmax())]
            runner.join(row)
        for _ in range(steps - 1):
            ordered = sorted(rows, key=lambda row: row.index)
            logits = runner.decode(ordered, [made[row][-1] for row in ordered])
            for row, token in zip(ordered, logits.argmax(-1).tolist(), strict=True):
                made[row].append(token)
        for row in rows:
            runner.leave(row)
    return [made[row] for row in rows]


def reference(model: Any, prompt: list[int], steps: int) -> list[int]:
    """The same by the model's plain forward pass over everything, every time."""
    import torch

    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(steps):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("make", [lambda m: SlotRunner(m, 4, CONTEXT), SoloRunner], ids=["slots", "solo"])
def test_decoding_together_is_the_models_own_forward_pass(make: Any, tiny: LoadedModel) -> None:
    expected = [reference(tiny.model, prompt, 12) for prompt in PROMPTS]
    assert greedy(make(tiny.model), PROMPTS, 12) == expected


def test_a_sequence_has_the_same_logits_to_the_bit_alone_and_in_company(tiny: LoadedModel) -> None:
    import torch

    def logits(prompts: list[list[int]]) -> Any:
        runner, rows = SlotRunner(tiny.model, 8, CONTEXT), [Row() for _ in prompts]
        with torch.inference_mode():
            for row, prompt in zip(rows, prompts, strict=True):
                runner.prefill(row, prompt)
                runner.join(row)
            return [runner.decode(rows, [3] * len(rows)) for _ in range(5)]

    together = logits(PROMPTS * 2)
    for n, prompt in enumerate(PROMPTS):
        for step, alone in enumerate(logits([prompt])):
            assert torch.equal(alone[0], together[step][n])


def test_when_one_leaves_another_takes_its_place_and_goes_on_undisturbed(tiny: LoadedModel) -> None:
    import torch

    runner = SlotRunner(tiny.model, 4, CONTEXT)
    expected = reference(tiny.model, PROMPTS[2], 8)
    with torch.inference_mode():
        first, second = Row(), Row()
        runner.prefill(first, PROMPTS[0])
        runner.join(first)
        made = [int(runner.prefill(second, PROMPTS[2]).argmax())]
        runner.join(second)
        for step in range(7):
            if step == 3:
                runner.leave(first)
                assert second.index == 0
            rows = [first, second] if step < 3 else [second]
            logits = runner.decode(rows, [1, made[-1]] if step < 3 else [made[-1]])
            made.append(int(logits[second.index].argmax()))
        runner.leave(second)
        runner.leave(second)
    assert made == expected


@pytest.mark.parametrize("count", [1, 3, REPLAY_CHUNK, REPLAY_CHUNK + 5])
def test_a_replay_leaves_to_the_bit_what_decoding_did(count: int, tiny: LoadedModel) -> None:
    import torch

    def begun() -> tuple[SlotRunner, Row]:
        runner, row = SlotRunner(tiny.model, 4, CONTEXT), Row()
        runner.prefill(row, PROMPTS[1])
        return runner, row

    with torch.inference_mode():
        runner, row = begun()
        runner.join(row)
        tokens = [(7 * n) % 200 for n in range(count + 3)]
        decoded = [runner.decode([row], [token])[0] for token in tokens]
        runner, row = begun()
        for at in range(0, count, REPLAY_CHUNK):
            logits = runner.replay(row, tokens[at : min(count, at + REPLAY_CHUNK)])
        assert torch.equal(logits, decoded[count - 1])
        runner.join(row)
        for token, expected in zip(tokens[count:], decoded[count:], strict=True):
            assert torch.equal(runner.decode([row], [token])[0], expected)


def test_a_replay_is_the_models_own_forward_pass_where_no_batch_is_shared(tiny: LoadedModel) -> None:
    import torch

    runner, row = SoloRunner(tiny.model), Row()
    with torch.inference_mode():
        runner.prefill(row, PROMPTS[0])
        logits = runner.replay(row, [1, 2, 3])
        whole = tiny.model(input_ids=torch.tensor([[*PROMPTS[0], 1, 2, 3]])).logits[0, -1]
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)
    assert row.length == len(PROMPTS[0]) + 3


def test_a_prompt_may_come_in_chunks(tiny: LoadedModel) -> None:
    import torch

    runner, row, prompt = SlotRunner(tiny.model, 1, CONTEXT), Row(), list(range(1, 41))
    with torch.inference_mode():
        runner.prefill(row, prompt[:25])
        logits = runner.prefill(row, prompt[25:])
        whole = tiny.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


def test_common_architectures_share_a_batch() -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    sizes: dict[str, Any] = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
    }
    models: list[Any] = [LlamaForCausalLM(LlamaConfig(**sizes)), Qwen3ForCausalLM(Qwen3Config(**sizes))]
    for model in models:
        runner = make_runner(model.eval(), 4, 128)
        assert isinstance(runner, SlotRunner)
        prompts = [[1, 2, 3], [4, 5, 6, 7, 8, 9]]
        assert greedy(runner, prompts, 6) == [reference(model, prompt, 6) for prompt in prompts]
        row, rest = Row(), [7, 8, 9, 10, 11]
        with torch.inference_mode():
            runner.prefill(row, prompts[1])
            logits = runner.replay(row, rest)
            whole = model(input_ids=torch.tensor([prompts[1] + rest])).logits[0, -1]
        torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


def test_sliding_windows_look_back_no_further() -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        sliding_window=8,
    )
    model: Any = MistralForCausalLM(config)
    model.eval()
    prompt = [n % 50 for n in range(30)]
    runner = make_runner(model, 2, 128)
    assert isinstance(runner, SlotRunner)
    assert greedy(runner, [prompt], 10) == [reference(model, prompt, 10)]


def test_an_architecture_with_another_kind_of_memory_is_served_one_after_the_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    torch.manual_seed(1)
    model: Any = BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4))
    model.eval()
    with caplog.at_level(logging.WARNING):
        runner = make_runner(model, 4, 128)
    assert isinstance(runner, SoloRunner)
    assert "can't share a batch" in caplog.text
    prompts = [[1, 2, 3], [4, 5, 6, 7]]
    assert greedy(runner, prompts, 5) == [reference(model, prompt, 5) for prompt in prompts]


def test_filling_rows_disturb_nobody() -> None:
    model = make_model(60)
    for count in range(1, 9):
        prompts = [[n + 1, n + 2] for n in range(count)]
        assert greedy(SlotRunner(model, count, CONTEXT), prompts, 4) == [reference(model, p, 4) for p in prompts]
