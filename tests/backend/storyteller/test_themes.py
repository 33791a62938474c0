from __future__ import annotations

from collections.abc import Sequence

from backend.storyteller import themes


def test_every_list_holds_different_plain_texts() -> None:
    lists: list[Sequence[str]] = [value for name, value in vars(themes).items() if name.isupper()]
    assert len(lists) > 10
    for values in lists:
        assert len(set(values)) == len(values) > 4
        assert all(value == value.strip() and value and not set(value) & set("[]{}") for value in values)
