"""Bytes <-> messages, without I/O: what all four packages say to each other.

* ``limits``     every bound of the wire, with its unit
* ``lines``      newline framing
* ``native``     the native JSON-lines protocol between client and balancer
* ``control``    registration of a backend: challenge, proof, lease
* ``heartbeat``  the UDP datagrams: beat and acknowledgement
* ``classic``    the text protocol of earlier balancers
* ``jsontext``   JSON objects in bounded depth
* ``http1``      HTTP/1.1 heads, bodies and framing, in both directions
* ``sse``        server-sent events
* ``openai``     bodies in the OpenAI dialect, and every change from body to body
* ``embeddings``, ``responses``  what of these two is read or written here
* ``engine_metrics``  an engine's load in its Prometheus metrics
* ``errors``     what went wrong on the wire, and whose fault it is

Nothing here knows sockets, clocks or randomness: bytes go in, messages come out; nonces and ids are arguments.
"""
