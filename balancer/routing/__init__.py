"""Eligible -> policy -> lease, in one synchronous call.

`select.py` finds who is eligible in a pool view, lets a `Policy` (`policy.py`) choose, and reserves a slot
before anything else can happen: choosing reserves. Each policy is one small file; `policies.py` names them.

* what is asked: ``need``, with the prompt as a chain of hashes (``blocks``)
* who may be chosen: ``eligible``, ``panic`` (when ejections are heeded), ``prefer`` (labels)
* policies that count: ``round_robin``, ``least_connections``, ``random_choice``, ``power_of_two``, ``priority``,
  ``session``
* policies that know what a request costs: ``least_latency``, ``least_tokens``, ``prefix_affinity``, and ``adaptive``,
  which weighs what all of them know
* what these stand on: ``work`` (prefill under way, and how fast it is done), ``prefix_index`` (who was sent which
  beginnings), ``spread`` (who was given how much), ``alike`` (turns among what is nearly equal), ``draw`` (by weight)
* ``explain`` says why a request goes where it goes

Pure: it reads a view and a ledger, and takes `now` and a random source as arguments.
"""
