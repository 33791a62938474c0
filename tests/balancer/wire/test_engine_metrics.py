from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire.engine_metrics import EngineLoad, parse_load

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.5e+03
vllm:generation_tokens_created{engine="0",model_name="m"} 1.75e+09
"""

SGLANG = """\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 5.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 1.0
sglang:token_usage{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 0.28
sglang:gen_throughput{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 86.5
"""

LLAMACPP = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 512
llamacpp:tokens_predicted_total 39080
llamacpp:n_decode_total 39303
llamacpp:predicted_tokens_seconds nan
llamacpp:requests_processing 2
llamacpp:requests_deferred 7
"""


def histogram(engine: str, lines: int) -> str:
    return "".join(f'{engine}:seconds_bucket{{engine="0",le="{n}.0",model_name="m"}} {n}.0\n' for n in range(lines))


def test_vllm_counts_are_summed_over_its_ranks_and_the_fullest_cache_counts() -> None:
    assert parse_load(VLLM) == EngineLoad("vllm", 7, 2, 0.75, (1500.0, 100.0, 0.25, 0.75))


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ('vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0', 16_000),
        ('vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="None"} 1.0', 0),
        ('vllm:cache_config_info{engine="0"} 1.0', 0),
    ],
)
def test_vllm_tells_how_much_its_cache_holds_in_labels(told: str, tokens: int) -> None:
    load = parse_load(VLLM + told + "\n" + told.replace('engine="0"', 'engine="1"') + "\n")
    assert load is not None and load.kv_tokens == 2 * tokens


def test_sglang_tells_how_much_its_cache_holds_for_each_shard() -> None:
    line = 'sglang:max_total_num_tokens{{model_name="m",tp_rank="{}"}} 454913.0\n'
    load = parse_load(SGLANG + line.format(0) + line.format(1))
    assert load is not None and load.kv_tokens == 454_913


def test_an_older_vllm_names_its_cache_otherwise() -> None:
    load = parse_load(VLLM.replace("kv_cache_usage_perc", "gpu_cache_usage_perc"))
    assert load is not None and load.kv_usage == 0.75


def test_sglang() -> None:
    assert parse_load(SGLANG) == EngineLoad("sglang", 5, 1, 0.28, (86.5, 0.28))


def test_tensor_shards_of_one_rank_tell_of_the_same_requests() -> None:
    text = "".join(
        f'sglang:num_running_reqs{{dp_rank="{dp}",model_name="m",tp_rank="{tp}"}} {running}.0\n'
        for dp, tp, running in ((0, 0, 5), (0, 1, 5), (1, 2, 3), (1, 3, 3))
    )
    load = parse_load(text)
    assert load is not None and load.running == 8


def test_a_share_by_priority_is_not_counted_beside_the_total() -> None:
    total = 'sglang:num_running_reqs{model_name="m",priority=""} 5.0\n'
    load = parse_load(total + 'sglang:num_running_reqs{model_name="m",priority="3"} 4.0\n')
    assert load is not None and load.running == 5


def test_llamacpp_has_no_labels_and_no_cache_usage_any_more() -> None:
    assert parse_load(LLAMACPP) == EngineLoad("llamacpp", 2, 7, None, (39303.0, 39080.0, 512.0))
    older = parse_load(LLAMACPP + "llamacpp:kv_cache_usage_ratio 0.5\n")
    assert older is not None and older.kv_usage == 0.5


def test_a_prompt_read_without_a_token_made_is_progress_where_the_cache_tells_it() -> None:
    before, after = parse_load(VLLM), parse_load(VLLM.replace(" 0.25", " 0.3"))
    assert before is not None and after is not None and before.progress != after.progress


def test_without_a_counter_there_is_no_progress_to_compare() -> None:
    load = parse_load('vllm:num_requests_running{model_name="m"} 1.0\nvllm:kv_cache_usage_perc 0.5\n')
    assert load == EngineLoad("vllm", 1, 0, 0.5, ())


@pytest.mark.parametrize("text", ["", "\n\n", "# HELP vllm:num_requests_running\n", "process_open_fds 9.0\n"])
def test_metrics_of_no_known_engine(text: str) -> None:
    assert parse_load(text) is None


@pytest.mark.parametrize(
    "value", ["NaN", "+Inf", "-1", "", "x", "} 1", '{model_name="m" 1', '{model_name="m"}', '{model_name="m"} nan']
)
def test_a_value_that_can_not_be_a_count_is_left_out(value: str) -> None:
    assert parse_load(f"vllm:num_requests_running {value}\n") is None


@pytest.mark.parametrize("end", ["\n", "", "\r\n", " 1395066363000\n"], ids=["newline", "none", "crlf", "timestamp"])
def test_a_line_may_end_in_any_way(end: str) -> None:
    load = parse_load("vllm:num_requests_running 4.0" + end)
    assert load is not None and load.running == 4


def test_braces_and_quotes_in_a_model_s_name_do_no_harm() -> None:
    load = parse_load('vllm:num_requests_running{model_name="a} 9 \\"{b"} 2.0\n')
    assert load is not None and load.running == 2


def test_huge_numbers_are_cut() -> None:
    load = parse_load("vllm:num_requests_running 1e308\n" * 3 + "vllm:kv_cache_usage_perc 7\n")
    assert load is not None and load.running == 10**9 and load.kv_usage == 1.0


@given(st.text(max_size=300))
def test_text_at_random_never_raises(text: str) -> None:
    assert parse_load(text) is None or ":" in text


@given(st.data())
def test_damaged_metrics_never_raise(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from((VLLM, SGLANG, LLAMACPP)))
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    load = parse_load(text[:at] + data.draw(st.text(max_size=20)) + text[at + length :])
    assert load is None or (load.running >= 0 and load.waiting >= 0 and (load.kv_usage is None or load.kv_usage <= 1))


def test_a_third_of_a_megabyte_is_read_in_no_time() -> None:
    text = histogram("vllm", 6_000) + VLLM
    assert len(text) > 330_000
    began = time.process_time()
    for _ in range(10):
        assert parse_load(text) is not None
    assert (time.process_time() - began) / 10 < 0.010  # 0.3 ms measured; each line split and parsed takes 30 times that
