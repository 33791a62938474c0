"""An engine that begins an answer and ends it when the test says so: how long it takes is nobody's guess."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, Wire, chunk, event, events


class Held:
    """A script that echoes prompts, word by word. Of ``prompts`` the first word, and the rest after ``go_on``."""

    def __init__(self, *prompts: str) -> None:
        self.prompts = prompts
        self.go_on = asyncio.Event()

    async def __call__(self, body: dict[str, Any], wire: Wire) -> None:
        first, *rest = re.findall(r"\s*\S+", body["prompt"])
        await wire.send(HEAD + chunk(event(first)))
        if body["prompt"] in self.prompts:
            await self.go_on.wait()
        await wire.send(chunk(events(*rest)) + LAST_CHUNK)
