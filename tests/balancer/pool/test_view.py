from __future__ import annotations

from balancer.pool.backend import BackendSpec, ModelInfo, State
from balancer.pool.view import Group, PoolBackend, PoolView
from tests.balancer.pool.specs import a_spec

CHAT = frozenset({"chat"})
COMPLETIONS = frozenset({"completions"})


def a_view(*backends: tuple[BackendSpec, State]) -> PoolView:
    return PoolView(1, (PoolBackend(index, 1, spec, state) for index, (spec, state) in enumerate(backends)))


def names(group: Group) -> list[list[str]]:
    return [[backend.spec.name for backend in tier.backends] for tier in group.tiers]


def test_models_are_listed_with_their_backends_whatever_their_state() -> None:
    both = (ModelInfo("m"), ModelInfo("n"))
    view = a_view((a_spec("a"), State.ALIVE), (a_spec("b", models=both), State.DEAD))
    found = {model: [b.spec.name for b in backends] for model, backends in view.models().items()}
    assert found == {"m": ["a", "b"], "n": ["b"]}


def test_one_that_is_configured_and_lists_no_model_may_yet_offer_any() -> None:
    silent = a_spec("u", kind="upstream", models=())
    for state in (State.JOINING, State.DEAD):
        assert a_view((a_spec("a"), State.ALIVE), (silent, state)).awaits_models()
    assert not a_view((a_spec("a"), State.ALIVE), (a_spec("u", kind="upstream"), State.DEAD)).awaits_models()


def test_alive_comes_before_suspect_and_the_exact_endpoint_before_a_convertible_one() -> None:
    view = a_view(
        (a_spec("suspect-converted", endpoints=COMPLETIONS), State.SUSPECT),
        (a_spec("suspect", endpoints=CHAT), State.SUSPECT),
        (a_spec("converted", endpoints=COMPLETIONS), State.ALIVE),
        (a_spec("exact", endpoints=CHAT), State.ALIVE),
    )
    assert names(view.group("m", "chat")) == [["exact"], ["converted"], ["suspect"], ["suspect-converted"]]
    assert names(view.group("m", "completions"))[:2] == [["converted"], ["exact"]]


def test_one_that_offers_both_endpoints_is_a_candidate_once() -> None:
    assert names(a_view((a_spec("a"), State.ALIVE)).group("m", "chat")) == [["a"]]


def test_embeddings_are_never_converted() -> None:
    group = a_view((a_spec("a", endpoints=CHAT), State.ALIVE)).group("m", "embeddings")
    assert (group.tiers, group.model_offered, group.endpoint_offered) == ((), True, False)


def test_joining_dead_and_draining_are_in_no_tier() -> None:
    states = (State.JOINING, State.DEAD, State.DRAINING)
    group = a_view(*((a_spec(state.value), state) for state in states)).group("m", "chat")
    assert (group.tiers, group.model_offered, group.endpoint_offered) == ((), True, True)


def test_an_unknown_model_has_no_candidates() -> None:
    group = a_view((a_spec("a"), State.ALIVE)).group("n", "chat")
    assert (group.tiers, group.model_offered) == ((), False)


def test_candidates_stand_in_the_order_of_their_indexes() -> None:
    backends = [PoolBackend(index, 1, a_spec(f"b{index}"), State.ALIVE) for index in (2, 0, 1)]
    (tier,) = PoolView(1, backends).group("m", "chat").tiers
    assert tier.indexes == [0, 1, 2]
    assert tier.indexes_np.tolist() == [0, 1, 2]
    assert tier.positions == {"b0 b0-1": 0, "b1 b1-1": 1, "b2 b2-1": 2}


def test_prompt_limits_are_kept_only_where_someone_has_one() -> None:
    view = a_view((a_spec("a", max_prompt_bytes=987), State.ALIVE), (a_spec("b"), State.ALIVE))
    limits = view.group("m", "chat").tiers[0].prompt_limits
    assert limits is not None
    assert limits[0] == 987
    assert limits[1] > 2**40
    assert a_view((a_spec("a"), State.ALIVE)).group("m", "chat").tiers[0].prompt_limits is None


def test_a_group_is_worked_out_once() -> None:
    view = a_view((a_spec("a"), State.ALIVE))
    assert view.group("m", "chat") is view.group("m", "chat")
