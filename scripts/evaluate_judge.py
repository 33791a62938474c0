"""How often a model errs that compares two answers to one question, as --cache-judge asks it to.

FILE has a JSON object a line: question, known, fresh (two answers) and same (true: either could stand for the other).
The model is asked through a running balancer, as the daemon asks it: at temperature 0, for one word.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from balancer.cache.answers import JUDGE_TOKENS_MAX, comparable, judge_prompt, said_yes, same_words
from balancer.cache.judge_error import JudgeError, wilson
from client import ClientError, connect_sync


class Labelled(NamedTuple):
    """Two answers, and whether they say the same."""

    question: str
    known: str
    fresh: str
    same: bool


class Result(NamedTuple):
    """What a model said of labelled answers; those of equal words are not asked about."""

    right: int
    false_no: int
    wrong: int
    false_yes: int
    undecided: int
    equal: int

    @property
    def error(self) -> JudgeError:
        """``labels`` is the smaller number of the two kinds: neither rate is known better."""
        no = self.false_no / self.right if self.right else 0.0
        yes = self.false_yes / self.wrong if self.wrong else 0.0
        return JudgeError(yes, no, min(self.right, self.wrong))


def read_labelled(path: Path) -> list[Labelled]:
    """`ValueError` tells the line that is none."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            one = Labelled(*(row[name] for name in Labelled._fields))
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}:{number}: expected an object with {', '.join(Labelled._fields)}") from None
        if not isinstance(one.same, bool) or not all(isinstance(text, str) for text in one[:3]):
            raise ValueError(f"{path}:{number}: expected three texts, and true or false")
        found.append(one)
    return found


def measure(labelled: Iterable[Labelled], ask: Callable[[str], str]) -> Result:
    """``ask``: a prompt's answer."""
    right = false_no = wrong = false_yes = undecided = equal = 0
    for one in labelled:
        if same_words(one.known, one.fresh):
            equal += 1
            continue
        said = said_yes(ask(judge_prompt(*one[:3]))) if comparable(*one[:3]) else None
        if said is None:
            undecided += 1
        elif one.same:
            right += 1
            false_no += not said
        else:
            wrong += 1
            false_yes += said
    return Result(right, false_no, wrong, false_yes, undecided, equal)


def shown(result: Result) -> str:
    """For people; the last line is the option."""
    yes, no = wilson(result.false_yes, result.wrong), wilson(result.false_no, result.right)
    told = [
        f"said no to {result.false_no} of {result.right} that are the same: {no.low:.1%} to {no.high:.1%}",
        f"said yes to {result.false_yes} of {result.wrong} that are not: {yes.low:.1%} to {yes.high:.1%}",
        f"{result.undecided} undecided, {result.equal} of equal words",
    ]
    if not result.error.labels:
        return "\n".join([*told, "both kinds are needed: answers that are the same, and answers that are not"])
    error = result.error
    return "\n".join([*told, f"--cache-judge-error {error.false_yes:.4f},{error.false_no:.4f},{error.labels}"])


def main() -> None:
    """Read, ask, print; what can't be read or asked is said, and the exit status is 2."""
    parser = argparse.ArgumentParser(prog="scripts/evaluate_judge", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", required=True, help="the judge")
    parser.add_argument("--balancer", default="127.0.0.1:1234", metavar="HOST:PORT", help="default %(default)s")
    options = parser.parse_args()
    host, _, port = options.balancer.rpartition(":")
    try:
        with connect_sync(host, int(port)) as client:

            def ask(prompt: str) -> str:
                messages = [{"role": "user", "content": prompt}]
                fields = {"model": options.model, "temperature": 0, "max_tokens": JUDGE_TOKENS_MAX}
                return "".join(client.ask(messages, cache="bypass", **fields))

            print(shown(measure(read_labelled(options.file), ask)))
    except (OSError, ValueError, ClientError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
