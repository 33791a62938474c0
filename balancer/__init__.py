"""A load balancer that knows LLM traffic. The map:

* ``daemon``     the composition root: builds the rooms, listens, owns the clock tick, signals, drain
* ``cli``, ``config``, ``logs``, ``admin_client``, ``key_commands``, ``keyfile``  what an operator sees
* ``wire``       bytes <-> messages, shared with backends and clients
* ``doors``      the listening sides: native lines, HTTP, classic text, registrations, heartbeats, admin
* ``exchange``   one request's way from arrival to last token: start reading here
* ``admission``  which model, who waits, who is refused
* ``cache``      earlier answers, and when one may be given again
* ``pool``       who is alive, who has which slots: failure detector, ledger, registry, the immutable pool view
* ``routing``    eligible -> policy -> lease, in one synchronous call
* ``upstream``   the backends' side of a request: dial, reuse, relay, cancel
* ``caching``    the cache as the settings want it, with its learned verdict
* ``cache_file``, ``cache_rows``, ``cache_memory``, ``cache_keeper``, ``cache_late``  its entries, and what was
  learned of them, over a restart; ``cache_operations``  changes to them
* ``embeddings``  the cache's embedder as a model for clients
* ``adapters``   one third-party library each, imported lazily
* ``request``, ``errors``, ``tasks``  what all rooms share
* ``telemetry``, ``meters``, ``histogram``, ``accesslog``, ``linefile``  what is counted, and written down, of requests

A request goes door -> admission -> cache -> routing -> upstream -> backend, and its answer back as bytes per chunk.
``wire``, ``pool``, ``routing``, ``cache``, ``admission`` and ``exchange.state`` are pure: no I/O, clock or randomness.
"""
