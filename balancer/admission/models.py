"""Which model a request means, and whether one that nobody offers is an error for good."""

from __future__ import annotations

from collections.abc import Callable, Collection

from balancer.errors import Failure, model_required, no_backend, unknown_model, unknown_model_yet

START_GRACE_S = 10.0
"""After a start agents are still on their way: until then no model is unknown for good."""
RETRY_AFTER_S = 2.0


def resolve_model(
    asked: str | None,
    offered: Collection[str],
    default: str | None,
    unnamed: str,
    seen_lately: Callable[[str], bool],
    uptime_s: float,
    more_may_come: bool = False,
) -> str | Failure:
    """The model's name, or why there is none.

    ``offered`` are the models of backends that could answer now or soon; ``seen_lately`` tells of those that some
    backend offered in the last ten minutes; ``more_may_come`` says that a backend has yet to tell what it offers: it
    may still be loading it. A model that is not offered now but may come (back) is refused with a time to try again;
    one that was never there is refused for good. ``unnamed`` is what stands in ``offered`` for backends that cannot
    name their model.
    """
    name = asked or default
    if name is None:
        # A backend that cannot name its model serves whoever names none; it makes the choice no harder.
        named = [model for model in offered if model != unnamed] or list(offered)
        if len(named) == 1:
            return named[0]
        if named:
            return model_required(named)
        return no_backend("no backend is registered", RETRY_AFTER_S)
    if name in offered:
        return name
    if uptime_s < START_GRACE_S:
        return unknown_model_yet(name, offered, RETRY_AFTER_S)
    if seen_lately(name):
        return no_backend(f"the backends that offer {name!r} are gone", RETRY_AFTER_S)
    if more_may_come:
        return unknown_model_yet(name, offered, RETRY_AFTER_S)
    return unknown_model(name, offered)
