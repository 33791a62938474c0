"""A model server and the agent that registers it: `python -m backend PORT`.

* ``engines``    what generates tokens, behind one port (`engines.base`): ``echo`` and ``transformers``
* ``server``     the OpenAI dialect over HTTP, slots, cancellation when a client leaves
* ``agent``      registration with one or more balancers, heartbeats, drain and leave; the same for a foreign engine
* ``cli``        the program's options; ``app`` puts the parts together: start, drain, exit
* ``agent_cli``  the same for `python -m backend agent`, for an engine that is not ours (`agent.foreign`)
* ``options``, ``stopping``, ``logs``  what both have: common options, signals, what they write
* ``errors``     one class a cause; ``tasks`` is the only place that starts any
* ``storyteller``, ``models``  the built-in model: how it was made, and its weights

A request's way: ``server`` reads it, takes a slot, submits it to the engine with a sink; the engine calls the sink in
the event loop's thread for every step that made tokens; the sink writes. No task is made on that way.
"""
