"""A load balancer that knows LLM traffic. The map:

* ``daemon``      one process: listens, owns the clock tick, signals, drain
* ``parts``       the composition root: builds the rooms; ``rooms``  where settings become values in them
* ``cli``, ``config``, ``sources``, ``keyfile``, ``logs``  what an operator sees; ``reload_plan``, ``reloader``  what a
  reload may change, and the change
* ``commands``    the subcommands: they ask a running daemon, or read a file
* ``wire``        bytes <-> messages, shared with backends and clients
* ``doors``       the listening sides: native lines, HTTP, classic text, registrations, heartbeats, admin
* ``exchange``    one request's way from arrival to last token: start reading here
* ``admission``   which model, who waits, who is refused
* ``cache``       earlier answers, and when one may be given again
* ``pool``        who is alive, who has which slots: failure detector, ledger, registry, the immutable pool view
* ``routing``     eligible -> policy -> lease, in one synchronous call
* ``upstream``    the backends' side of a request: dial, reuse, relay, cancel
* ``cache_setup``, ``cache_learning``, ``verdict_file``  the cache as the settings want it, with its learned verdict
* ``persistence``  its entries, and what was learned of them, over a restart
* ``embeddings``  the cache's embedder as a model for clients
* ``adapters``    one third-party library each, imported lazily
* ``request``, ``errors``, ``ids``, ``rng``, ``tasks``  what all rooms share
* ``telemetry``, ``meters``, ``histogram``, ``accesslog``, ``linefile``  what is counted, and written down, of requests
* ``corking``, ``listening``, ``addressing``  how bytes go out together, how an address is bound, and looked up
* ``compiled``, ``version``  which build this is

A request goes door -> admission -> cache -> routing -> upstream -> backend, and its answer back as bytes per chunk.
``wire``, ``pool``, ``routing``, ``cache``, ``admission`` and ``exchange.state`` are pure: no I/O, clock or randomness.
"""
