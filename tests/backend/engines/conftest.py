from __future__ import annotations

from pathlib import Path

import pytest

from backend.engines.load import LoadedModel, load_model
from tests.backend.engines.tiny import save_tiny


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> LoadedModel:
    return load_model(str(tiny_path), "cpu", 1)
