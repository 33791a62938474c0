"""Does a question ask about what changes by the hour? Its answer then holds for a shorter time."""

from __future__ import annotations

from typing import Final

READ_MAX_CHARS: Final = 1000
"""From each end of a longer text: a question about now says so at its beginning or at its end."""

_WORDS: Final = (
    "today", "today's", "tonight", "tonight's", "tomorrow", "tomorrow's", "yesterday", "yesterday's",
    "now", "currently", "current", "nowadays", "recent", "recently", "latest", "newest", "upcoming", "ongoing",
    "price", "prices", "weather", "forecast", "temperature", "news", "headline", "headlines", "stock", "stocks",
    "rate", "rates", "score", "scores", "standings",
    "heute", "morgen", "gestern", "aktuell", "aktuelle", "aktuellen", "preis", "wetter", "jetzt",
)  # fmt: skip
_MARKS: Final = ("", "?", ".", ",", "!", ":", ";", ")", '"', "'", "?!", "??")
_FORMS: Final = frozenset(word + mark for word in _WORDS for mark in _MARKS)


def asks_about_now(text: str) -> bool:
    """Whether the text has a word for the present, or for what is another every day. Errs towards yes."""
    if len(text) > 2 * READ_MAX_CHARS:
        text = f"{text[:READ_MAX_CHARS]} {text[-READ_MAX_CHARS:]}"
    return not _FORMS.isdisjoint(text.lower().split())
