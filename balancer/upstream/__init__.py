"""The backends' side of a request: dial, reuse, relay, cancel. asyncio.

* ``http``        OpenAI HTTP: calls, and what an engine's answer means
* ``embedder``    our own embedder in the place of an engine
* ``connection``  one connection to an engine, and the pool of idle ones
* ``classic``     backends of the text protocol
* ``probe``       health of backends that do not register
"""
