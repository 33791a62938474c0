from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balancer.upstream.changes import plan_upstreams
from balancer.upstream.spec import UpstreamSpec, parse_upstream


def specs(*texts: str) -> list[UpstreamSpec]:
    return [parse_upstream(text) for text in texts]


def running(*texts: str) -> dict[str, UpstreamSpec]:
    return {spec.name: spec for spec in specs(*texts)}


def test_each_upstream_goes_where_it_belongs() -> None:
    now = running("http://a", "http://b;slots=1", "http://c;name=c", "http://d", "http://e")
    wanted = specs("http://a", "http://b;slots=2", "http://cc;name=c", "http://f")
    changes = plan_upstreams(now, {"a", "b", "c", "d"}, wanted)
    assert [spec.name for spec in changes.added] == ["f"]
    assert [(spec.name, spec.slots) for spec in changes.changed] == [("b", 2)]
    assert [(spec.name, spec.url) for spec in changes.replaced] == [("c", "http://cc")]
    assert changes.removed == ("d",), "e was added at run time and stays"


def test_nothing_to_do_is_false() -> None:
    now = running("http://a")
    assert not plan_upstreams(now, {"a"}, specs("http://a"))
    assert plan_upstreams(now, {"a"}, [])


some = st.lists(
    st.builds(
        lambda name, url, slots: parse_upstream(f"http://{url};name={name};slots={slots}"),
        st.sampled_from("abcd"),
        st.sampled_from("xyz"),
        st.integers(1, 2),
    ),
    unique_by=lambda spec: spec.name,
)


@given(now=some, wanted=some, by_hand=st.sets(st.sampled_from("abcd")))
def test_what_was_done_is_what_was_wanted(
    now: list[UpstreamSpec], wanted: list[UpstreamSpec], by_hand: set[str]
) -> None:
    before = {spec.name: spec for spec in now}
    changes = plan_upstreams(before, before.keys() - by_hand, wanted)
    after = {name: spec for name, spec in before.items() if name not in changes.removed}
    for spec in (*changes.added, *changes.changed, *changes.replaced):
        assert (spec.name in after) is (spec not in changes.added)
        after[spec.name] = spec
    left_alone = {name: before[name] for name in by_hand & before.keys()}
    assert after == {**left_alone, **{spec.name: spec for spec in wanted}}
    assert not plan_upstreams(after, after.keys() - by_hand, wanted)
