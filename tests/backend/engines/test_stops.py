from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.engines.stops import StopScanner

words = st.text("abc ", min_size=1, max_size=4)


def run(stops: tuple[str, ...], tokens: list[str]) -> tuple[str, list[int], bool]:
    """Text, ids and whether it stopped; after every release the text is exactly that of the ids."""
    scanner, text = StopScanner(stops), ""
    ids: list[int] = []
    for number, token in enumerate(tokens):
        released = scanner.feed(token, (number,))
        text += released.text
        ids += released.token_ids
        if released.stopped:
            return text, ids, True
        assert text == "".join(tokens[i] for i in ids)
    rest = scanner.flush()
    return text + rest.text, ids + list(rest.token_ids), False


def test_without_stops_nothing_is_held_back() -> None:
    assert StopScanner(()).feed("x", (1,)).text == "x"


def test_only_tokens_that_could_become_a_stop_are_held_back() -> None:
    scanner = StopScanner(("END",))
    assert scanner.feed("go ", (1,)).text == "go "
    assert scanner.feed("E", (2,)).token_ids == ()
    assert scanner.feed("N", (3,)).token_ids == ()
    released = scanner.feed("T", (4,))
    assert (released.text, released.token_ids, released.stopped) == ("ENT", (2, 3, 4), False)


def test_a_token_is_held_back_whole() -> None:
    scanner = StopScanner(("END",))
    assert scanner.feed("the E", (1,)).text == ""
    assert scanner.feed("ast", (2,)).text == "the East"


def test_a_stop_within_or_across_tokens_ends_before_it_and_tells_all_ids() -> None:
    assert run(("bc",), ["ab", "cd", "e"]) == ("a", [0, 1], True)
    assert run(("b",), ["abc"]) == ("a", [0], True)


def test_of_several_stops_the_first_in_the_text_counts() -> None:
    assert run(("c", "b"), ["a", "bc"]) == ("a", [0, 1], True)


def test_a_stop_may_begin_in_what_another_one_said() -> None:
    scanner = StopScanner(("END", "ab"), said="the E")
    assert scanner.feed("N", (1,)).token_ids == ()
    released = scanner.feed("D.", (2,))
    assert (released.text, released.token_ids, released.stopped) == ("", (1, 2), True)
    other = StopScanner(("END",), said="the E")
    assert other.feed("N", (1,)).token_ids == ()
    released = other.feed("T", (2,))
    assert (released.text, released.token_ids, released.stopped) == ("NT", (1, 2), False)
    assert other.feed("x", (3,)).text == "x"


def test_what_was_held_back_is_given_at_the_end_without_what_was_said_before() -> None:
    scanner = StopScanner(("END",), said="the E")
    scanner.feed("N", (1,))
    assert scanner.flush().text == "N"
    assert StopScanner(("END",), said="the E").flush().text == ""


def test_an_empty_stop_is_none() -> None:
    assert run(("",), ["a"]) == ("a", [0], False)


@given(st.lists(words, max_size=3), st.lists(words, max_size=20))
def test_from_whatever_was_released_another_one_goes_on_the_same(stops: list[str], tokens: list[str]) -> None:
    scanner, said = StopScanner(tuple(stops)), ""
    whole = run(tuple(stops), tokens)[0]
    for number, token in enumerate(tokens):
        released = scanner.feed(token, (number,))
        if released.stopped:
            return
        said += released.text
        after = number + 1 if released.token_ids == () else released.token_ids[-1] + 1
        if "".join(tokens[:after]) != said:
            continue  # something is held back: it would be made again
        other, text = StopScanner(tuple(stops), said), said
        for later, token_again in enumerate(tokens[after:], after):
            again = other.feed(token_again, (later,))
            text += again.text
            if again.stopped:
                break
        else:
            text += other.flush().text
        assert text == whole


@given(st.lists(words, max_size=3), st.lists(words, max_size=20))
def test_it_is_the_same_as_looking_for_the_stop_in_the_whole_text(stops: list[str], tokens: list[str]) -> None:
    whole = "".join(tokens)
    text, ids, stopped = run(tuple(stops), tokens)
    if not stopped:
        assert text == whole
        assert ids == list(range(len(tokens)))
        assert not any(stop in whole for stop in stops)
    else:
        read = "".join(tokens[: len(ids)])  # what had been read when the first stop was complete
        assert text == read[: min(read.find(stop) for stop in stops if stop in read)]
        assert not any(stop in "".join(tokens[: len(ids) - 1]) for stop in stops)
