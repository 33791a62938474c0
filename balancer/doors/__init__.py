"""The listening sides: bytes of clients and agents in, requests to the dispatcher, answers out. asyncio.

* ``listener``    one port; the first bytes tell which protocol it is; ``accepting`` lets many in at once
* ``native``      JSON lines; ``native_answer`` is its sink
* ``openai``      HTTP; ``openai_answer`` and ``passed_answer`` are its sinks, ``options`` a request's headers
* ``classic``     clients of the text protocol; ``classic_backend`` its servers
* ``control``     registrations of backends
* ``heartbeats``  their UDP beats; ``datagrams`` reads them many at a time
* ``admin``       status, drain, purge, on a port of its own
* ``addresses``   who may connect from where, and which addresses are never dialled
* ``asking``      a decoded body becomes a `balancer.request.Request`
"""
