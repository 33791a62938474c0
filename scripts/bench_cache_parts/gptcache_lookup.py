"""GPTCache's lookup beside ours, with the library's embedder, where gptcache, faiss and sqlalchemy are installed.

They are no dependency of ours: ``pip install --target DIR gptcache faiss-cpu sqlalchemy`` and ``PYTHONPATH=DIR``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGES = ("gptcache", "faiss", "sqlalchemy")


def missing() -> list[str]:
    """What is not installed; importing gptcache without them would install them itself."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def gptcache_lookup(texts: list[str], encode: Callable[[str], Any], folder: Path) -> Callable[[str], Any]:
    """A cache that holds ``texts``, as its documentation sets one up for similar questions; asks it."""
    from gptcache import Cache  # type: ignore[import-not-found,unused-ignore]
    from gptcache.adapter.api import get  # type: ignore[import-not-found,unused-ignore]
    from gptcache.manager import CacheBase, VectorBase, get_data_manager  # type: ignore[import-not-found,unused-ignore]
    from gptcache.processor.pre import get_prompt  # type: ignore[import-not-found,unused-ignore]
    from gptcache.similarity_evaluation import SearchDistanceEvaluation  # type: ignore[import-not-found,unused-ignore]

    cache = Cache()
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda text, **_: encode(text),
        data_manager=get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{folder / 'gptcache.db'}"),
            VectorBase("faiss", dimension=384, index_path=str(folder / "gptcache.faiss")),
            max_size=2 * len(texts),
        ),
        similarity_evaluation=SearchDistanceEvaluation(),
    )
    answers = [f"The answer to: {text}" for text in texts]
    cache.import_data(questions=texts, answers=answers)
    return lambda text: get(text, cache_obj=cache)
