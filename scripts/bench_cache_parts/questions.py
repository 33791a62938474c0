"""Questions to measure with, each many times in other words."""

from __future__ import annotations

from itertools import islice, product

_TASKS = (
    "reset my password", "cancel a subscription", "bake sourdough bread", "learn to play the guitar", "fix a flat tire",
    "write a cover letter", "remove a coffee stain", "train for a marathon", "open a savings account", "grow tomatoes",
    "speed up my laptop", "sleep better", "file a tax return", "teach a dog to sit", "store fresh basil",
    "sort a list in Python", "merge two branches in Git", "deploy a container", "index a database", "parse a date",
)  # fmt: skip
_WAYS = (
    "How do I {} {}?", "How can I {} {}?", "What is the best way to {} {}?", "What do I need to {} {}?",
    "Can you explain how to {} {}?", "Please tell me how to {} {}.", "What should I avoid when I {} {}?",
    "How long does it take to {} {}?", "Is it hard to {} {}?", "Which steps do I follow to {} {}?",
)  # fmt: skip
_WHERE = (
    "", "at home", "at work", "on a small budget", "as a beginner", "on the website", "without any tools", "in winter",
    "within a week", "in a rented flat", "in Berlin", "in Tokyo", "on Windows", "on Linux", "with children", "quickly",
    "before a deadline", "for the first time", "after a long break", "for a friend", "in an office", "on holiday",
    "by phone", "by email", "in the morning", "at night", "on a train", "in a small kitchen", "for my team",
    "for a client", "with a friend", "on my own", "in a big city", "in the countryside", "on a rainy day", "in summer",
    "in a hurry", "for a school project", "with an old machine", "with little time", "under pressure", "in public",
    "over the weekend", "during lunch", "for an exam", "for a hobby", "with one hand", "in the dark", "on a boat",
    "on a mountain",
)  # fmt: skip


def questions(count: int) -> list[str]:
    """``count`` different ones, at most 10,000; neighbours in the list are neighbours in meaning."""
    made = (
        way.format(task, where).replace(" ?", "?").replace(" .", ".")
        for task, where, way in product(_TASKS, _WHERE, _WAYS)
    )
    return list(islice(made, count))
