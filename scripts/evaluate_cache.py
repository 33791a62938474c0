"""How well the cache tells the same question from another one, beside what others do.

``pairs FILE``: labelled pairs through the verdict. ``replay FILE``: a stream of requests through whole caches.
Files are tab-separated with the columns a, b, duplicate (1: one's answer is the other's too), perhaps gzipped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from balancer.adapters.embedder.model import EmbedderUnavailable, EmbeddingModel
from balancer.cache.learned import WRONG_SHARE, LearnedVerdict
from scripts.evaluate_cache_parts import pairs, replay
from scripts.evaluate_cache_parts.stream import Shape, make_stream
from scripts.labelled_pairs import Pair, read_pairs
from scripts.train_verdict_parts.embedded import Embedded
from scripts.train_verdict_parts.splitting import groups, part_of

ROOT = Path(__file__).resolve().parent.parent
VERDICT = ROOT / "balancer" / "cache" / "verdict.npz"
WORK = ROOT / "build" / "replay-embedded"


def main() -> None:
    """Read, measure, print; what can't be read is said, and the exit status is 2."""
    parser = _parser()
    options = parser.parse_args()
    try:
        print(_shown(options, options.run(options)))
    except (OSError, EOFError, ValueError, EmbedderUnavailable) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate_cache", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], Any], text: Any, told: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=told, description=told)
        found.set_defaults(run=run, as_text=text)
        found.add_argument("file", type=Path, help="FILE.tsv or FILE.tsv.gz with columns a, b, duplicate")
        found.add_argument("--json", action="store_true", help="the report as one JSON object")
        found.add_argument(
            "--verdict", type=Path, default=VERDICT, help="the verdict's file (default: the one shipped)"
        )
        return found

    one = command("pairs", _pairs, pairs.as_text, "labelled pairs of texts through the verdict")
    one.add_argument("--scores", type=Path, metavar="OUT.tsv", help="write one score a row, in the file's order")
    one.add_argument("--wrong-share", type=_share, default=WRONG_SHARE, help="operating point (default %(default)s)")
    one.add_argument("--limit", type=_count, help="only so many rows, drawn at random")
    one.add_argument("--aside", action="store_true", help="only what the shipped verdict was not trained on")
    two = command("replay", _replay, replay.as_text, "a stream of requests through ours and other caches")
    two.add_argument("--all", action="store_true", help="also what the shipped verdict was trained on")
    two.add_argument("--others", type=Path, help="a file of unrelated prompts, one a line")
    two.add_argument("--requests", type=_count, default=Shape().requests, help="how many (default %(default)s)")
    two.add_argument("--zipf", type=float, default=Shape().zipf, help="exponent of popularity (default %(default)s)")
    two.add_argument("--near", type=_share, default=Shape().near, help="share of near misses (default %(default)s)")
    two.add_argument("--once", type=_share, default=Shape().once, help="share of lone prompts (default %(default)s)")
    two.add_argument(
        "--reworded", type=_share, default=Shape().reworded, help="share in another form (default %(default)s)"
    )
    two.add_argument("--seed", type=int, default=1)
    two.add_argument(
        "--cache-wrong-share", type=_share, action="append", help="as the balancer's; may be given several times"
    )
    two.add_argument("--work", type=Path, default=WORK, help="where embedded texts are kept (default: %(default)s)")
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share from 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no count")
    return value


def _pairs(options: argparse.Namespace) -> dict[str, Any]:
    rows = read_pairs(options.file)
    if options.aside:
        rows = _aside(rows)
    if options.limit is not None and options.limit < len(rows):
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), options.limit, replace=False))
        rows = [rows[at] for at in chosen]
    if not rows:
        raise ValueError(f"{options.file}: no pairs")
    verdict = LearnedVerdict(options.verdict.read_bytes(), options.wrong_share)
    if options.scores is not None:
        options.scores.touch()  # minutes of work shall not end in a folder that is not there
    started = time.process_time()
    scored = pairs.score(rows, verdict, _model(verdict))
    found = pairs.report(rows, scored, verdict.threshold, options.wrong_share)
    found["cpu_ms_per_pair"] = 1000 * (time.process_time() - started) / len(rows)
    if options.scores is not None:
        options.scores.write_text("".join(f"{one.probability:.9f}\n" for one in scored), encoding="utf-8")
    return found


def _replay(options: argparse.Namespace) -> dict[str, Any]:
    rows = read_pairs(options.file)
    others = options.others.read_text(encoding="utf-8").split("\n") if options.others is not None else []
    shape = Shape(options.requests, options.zipf, options.near, options.once, options.reworded)
    requests = make_stream(
        rows if options.all else _aside(rows), [text for text in others if text.strip()], shape, options.seed
    )
    verdict_file = options.verdict.read_bytes()
    model = _model(LearnedVerdict(verdict_file))
    embedded = Embedded(sorted({request.text for request in requests}), options.work, model)
    requests = [request for request in requests if request.text in embedded]
    found = replay.compare(requests, embedded, verdict_file, options.cache_wrong_share or [WRONG_SHARE], options.seed)
    return {"stream": replay.stream_report(requests, options.seed), **found}


def _aside(rows: list[Pair]) -> list[Pair]:
    group = groups(rows)
    return [row for row in rows if part_of(group[row.a]) == "aside"]


def _model(verdict: LearnedVerdict) -> EmbeddingModel:
    model = EmbeddingModel(None)
    if model.id != verdict.embedder_id:
        raise ValueError(f"the verdict was trained with {verdict.embedder_id}, here is {model.id}")
    return model


def _shown(options: argparse.Namespace, found: dict[str, Any]) -> str:
    text: str = json.dumps(found, indent=2, allow_nan=False) if options.json else options.as_text(found)
    return text


if __name__ == "__main__":
    main()
