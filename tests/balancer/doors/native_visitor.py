"""A daemon's native door, and errors that come through it."""

from __future__ import annotations

from tests.balancer.doors.lobby import Lobby, Visitor


def a_lobby(slots: int = 400, **changes: object) -> Lobby:
    lobby = Lobby(**changes)  # type: ignore[arg-type]
    lobby.hall.join("a", slots=slots)
    return lobby


async def error_of(visitor: Visitor) -> tuple[object, str]:
    line = await visitor.line()
    return line.get("id"), line["error"]["code"]
