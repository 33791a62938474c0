"""The listening sides: bytes of clients and agents in, requests to the dispatcher, answers out. asyncio.

The port:

* ``listener``    the first bytes tell which protocol it is; ``accepting`` lets many in, ``descriptors`` not too many
* ``tls``         in front of all of them
* ``addresses``   who may connect from where, and which addresses are never dialled

Clients:

* ``clients``     what their doors share: the dispatcher, limits, keys, the open connections
* ``asking``      a decoded body becomes a `balancer.request.Request`
* ``native``      JSON lines; ``native_answer`` is its sink
* ``http``        HTTP connections; ``answer`` is what they are given to say, ``leaving`` whether anybody still listens,
                  ``deadline`` how long each stage may last
* ``openai``      what is asked over them; ``options``: headers; ``openai_answer`` and ``passed_answer`` are its sinks
* ``health``      what orchestrators ask
* ``classic``     the text protocol

Backends:

* ``agents``      registrations and beats, into the registry
* ``control``     the connection of one agent; ``classic_backend`` of a server of the text protocol
* ``heartbeats``  beats over UDP; ``datagrams`` reads them many at a time

Operators, on a port of its own:

* ``admin``       status, drain, metrics; ``changes``: backends come and go, settings are read again
* ``cache_routes``  purge, forget, warm, wrong
* ``explaining``  where a request would go, and why
"""
