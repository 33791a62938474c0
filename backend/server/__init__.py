"""The OpenAI dialect over HTTP/1.1, in front of one engine.

* ``params``      request bodies -> what the engine is asked for, and every refusal of a body
* ``answers``     what the engine yields -> bodies and events
* ``exchange``    one request and its answer: an engine's sink that writes to a connection
* ``connection``  one client's connection: requests in order, deadlines, leaving
* ``routes``      which path does what
* ``server``      listener, slots, sweep, drain
"""
