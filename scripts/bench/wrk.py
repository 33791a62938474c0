"""wrk as the client of plain requests, where it is installed: it costs a fifth of ours, so more is left for engines."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path

from scripts.bench.load import HEADERS, PROMPT, Shape, Tally

_SCRIPT = """
wrk.method = "POST"
%s
local n = %d
request = function()
  n = n + 1
  return wrk.format(nil, "/v1/chat/completions", nil,
    '{%s,"messages":[{"role":"user","content":"%s ' .. string.format("%%d", n) .. '"}]}')
end
"""


def installed() -> bool:
    return shutil.which("wrk") is not None


async def drive_with_wrk(port: int, folder: Path, *, connections: int, seconds: float) -> Tally:
    """Whole answers as fast as they come; the tally has no latencies."""
    script = folder / "wrk.lua"
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in HEADERS.items())
    script.write_text(_SCRIPT % (headers, time.time_ns() // 1000, Shape().fields().decode(), PROMPT))
    command = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec("wrk", *command, stdout=asyncio.subprocess.PIPE)
    said = (await process.communicate())[0].decode()
    counted = re.search(r"(\d+) requests in", said)
    if counted is None:
        raise RuntimeError(f"wrk said: {said}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.findall(r"(?:connect|read|write|timeout) (\d+)", said)
    failed = (int(bad[1]) if bad else 0) + sum(map(int, lost))
    return Tally(requests=int(counted[1]), failed=failed, seconds=time.perf_counter() - begin)
