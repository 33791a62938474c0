from __future__ import annotations

import json

import pytest

from balancer.admission.aliases import parse_rules
from balancer.doors.health import Health
from balancer.pool.backend import ModelInfo
from tests.fakes import Hall


def ask(hall: Hall, path: str) -> tuple[int, str]:
    found = Health(hall.dispatcher, 0).answer(path)
    assert found is not None
    return found[0], json.loads(found[1])["status"]


@pytest.mark.parametrize(
    ("path", "empty", "serving", "stopping"),
    [
        ("/livez", (200, "ok"), (200, "ok"), (200, "ok")),
        ("/readyz", (503, "no_backend"), (200, "ok"), (503, "stopping")),
        ("/healthz", (200, "no_backend"), (200, "ok"), (503, "stopping")),
        ("/health", (200, "no_backend"), (200, "ok"), (503, "stopping")),
    ],
)
def test_what_each_path_says(
    path: str, empty: tuple[int, str], serving: tuple[int, str], stopping: tuple[int, str]
) -> None:
    hall = Hall()
    assert ask(hall, path) == empty
    hall.join("a", alive=False)
    assert ask(hall, path) == empty, "a joining backend serves nobody"
    hall.beat("a")
    assert ask(hall, path) == serving
    hall.dispatcher.stop()
    assert ask(hall, path) == stopping


def test_who_offers_no_model_serves_nobody() -> None:
    hall = Hall()
    hall.join("a", models=())
    assert ask(hall, "/readyz") == (503, "no_backend")
    hall.join("b")
    assert ask(hall, "/readyz") == (200, "ok")


def test_other_paths_are_not_its_own() -> None:
    assert Health(Hall().dispatcher, 0).answer("/status") is None


def test_models_are_those_of_serving_backends_with_their_shortest_context() -> None:
    hall = Hall()
    hall.join("a", models=(ModelInfo("m", 2048), ModelInfo("n")))
    hall.join("b", models=(ModelInfo("m", 1024),))
    hall.join("c", models=(ModelInfo("later", 1),), alive=False)
    assert Health(hall.dispatcher, 0).models() == {"m": 1024, "n": None}


def test_names_for_models_are_offered_while_one_of_those_is() -> None:
    hall = Hall()
    hall.dispatcher.rules = parse_rules(
        {"gpt-x": {"m": 1, "n": 1}, "gpt-y": "gone", "gone": {"fallback": "m"}, "gpt-z": "nobody's"}
    )
    hall.join("a", models=(ModelInfo("m", 2048), ModelInfo("n", 1024)))
    assert Health(hall.dispatcher, 0).models() == {"m": 2048, "n": 1024, "gpt-x": 1024, "gpt-y": 2048, "gone": 2048}
