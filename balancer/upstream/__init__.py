"""The backends' side of a request: dial, reuse, relay, cancel. asyncio.

* ``http``        OpenAI HTTP: calls, and what an engine's answer means
* ``connection``  one connection to an engine, and the pool of idle ones
* ``converted``   answers of an engine that offers only the other endpoint
* ``classic``     backends of the text protocol
* ``shortage``    when it is us who cannot dial
* ``embedder``    our own embedder in the place of an engine

Backends that do not register:

* ``spec``        what an operator writes; ``resolve`` makes a backend of it, ``changes`` says what a reload alters
* ``watch``       all of them, into the pool and out of it; ``watched`` is one
* ``probe``       their health and load; ``fetch`` is one small GET
"""
