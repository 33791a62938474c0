from __future__ import annotations

from backend.storyteller.evaluate import Bar, Judged, bars, judge, table
from backend.storyteller.held_out import Prompt
from backend.storyteller.sampling import Sample

LINE = Prompt("Once there was a fox named Rilla.", "Rilla", "first line")
ASKED = Prompt("Tell me about Rilla", "Rilla", "request")


def test_a_first_line_belongs_to_its_story() -> None:
    judged = judge(LINE, Sample(" Rilla ran. In the end Rilla slept.", 9, ended=True), 0.1)
    assert judged.names_right


def test_a_lost_hero_and_a_stranger_are_seen() -> None:
    judged = judge(ASKED, Sample("\n\nA fox slept. It met Bosto. " + "It slept. " * 20, 80, ended=True), 0.1)
    assert not judged.keeps_hero
    assert judged.strangers == ("Bosto",)
    assert not judged.names_right


def test_without_a_name_asked_for_the_first_one_is_the_hero() -> None:
    asked = Prompt("Tell me a story", None, "request")
    assert judge(asked, Sample("A fox named Rilla ran. Rilla sat. Rilla slept.", 9, ended=True), 0.0).names_right


def test_bars_know_above_from_below() -> None:
    assert Bar("x", 0.95, 0.95).met
    assert not Bar("x", 0.94, 0.95).met
    assert Bar("x", 0.19, 0.20, below=True).met
    assert not Bar("x", 0.20, 0.20, below=True).met


def test_shares_of_stories_are_measured_and_a_missed_bar_is_marked() -> None:
    good = Judged(LINE, Sample("a", 100, ended=True), keeps_hero=True, strangers=(), share=0.1)
    bad = Judged(ASKED, Sample("b", 300, ended=False), keeps_hero=True, strangers=("Kemp",), share=0.2)
    assert [bar.value for bar in bars([good, bad])] == [0.5, 0.5, 0.15000000000000002]
    printed = table([good, bad])
    assert printed.count("MISSED") == 2
    assert "first line" in printed
    assert "request" in printed
