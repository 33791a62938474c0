"""What the cache costs: ``scripts/bench_cache [--near] [--embedder] [--learned] [--all]``, on one core."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from scripts.bench_cache_parts.learned import bench_learned
from scripts.bench_cache_parts.near import bench_near
from scripts.bench_cache_parts.pipe import bench_pipe
from scripts.bench_cache_parts.room import bench_room


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--near", action="store_true", help="searching 1,000 to 100,000 vectors")
    parser.add_argument("--vectors", type=Path, metavar="NPY", help="for --near: vectors of real texts, a row each")
    parser.add_argument("--embedder", action="store_true", help="the embedding child and the loop's lag beside it")
    parser.add_argument("--learned", action="store_true", help="embedding, learned verdict, whole lookups; minutes")
    parser.add_argument("--all", action="store_true", help="all of these")
    options = parser.parse_args()
    bench_room()
    if options.near or options.all:
        bench_near(options.vectors)
    if options.embedder or options.all:
        asyncio.run(bench_pipe())
    if options.learned or options.all:
        bench_learned()


if __name__ == "__main__":
    main()
