"""A page to talk to the balancer from, and the bridge behind it.

* ``cli``         options of ``llm-frontend``
* ``server``      uvicorn, configured; signals
* ``http1``, ``websocket``  uvicorn's protocols with the bounds they lack
* ``app``         routes, headers, who may open a WebSocket
* ``origins``     which pages may: pure
* ``bridge``      one browser's connection: questions in, pieces out, through `client`
* ``messages``    what page and bridge say to each other: pure
* ``limits``      every bound, with its unit
* ``tasks``       the only place that starts tasks
* ``static/``     the page

The page holds its conversation, the bridge holds none. To the balancer the bridge is one tenant; each browser
connection is a connection of its own there, so a browser that reads slowly slows nobody else down, and is told apart
by a random ``user``. Prompts and answers are never logged.
"""
