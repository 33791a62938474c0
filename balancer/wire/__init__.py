"""Bytes <-> messages, without I/O: what all four packages say to each other.

* ``limits``     every bound of the wire, with its unit
* ``errors``     what is wrong with bytes that came in
* ``lines``      newline framing
* ``jsontext``   JSON objects in bounded depth
* ``native``     the native JSON-lines protocol between client and balancer; ``native_messages`` are its messages
* ``control``    registration of a backend: challenge, proof, lease
* ``heartbeat``  the UDP datagrams: beat and acknowledgement
* ``classic``    the text protocol of earlier balancers
* ``http1``      HTTP/1.1 heads, bodies and framing, in both directions
* ``sse``        server-sent events

The OpenAI dialect:

* ``openai``     bodies, and every change from body to body; ``dialect`` is what is read of them
* ``whole``      answers in one piece
* ``uniform``    chunks that differ in nothing but their text, read together
* ``continuation``  going on with an answer that another engine began
* ``embeddings``, ``responses``  what of these two is read or written here
* ``model_list``  ``GET /v1/models``
* ``engine_metrics``  an engine's load in its Prometheus metrics

Nothing here knows sockets, clocks or randomness: bytes go in, messages come out; nonces and ids are arguments.
"""
