"""Who can answer, and who is believed to be alive.

Strategy: everything that is true of a backend until it changes state is in an immutable `PoolView`
(`view.py`); everything that changes with a request or a beat is in the arrays of the `Ledger` (`ledger.py`).
The `Registry` (`registry.py`) is the only writer of both: it takes registrations, beats, probe results and the
passing of time, asks one `Detector` (`detector.py`) per backend, and returns the `Transition`s
(`transition.py`) that it caused, so that the shell around it can log them and end exchanges.

Who lives is the detector's to say, who works the `Breaker`'s (`breaker.py`): it hears what requests come to, ejects
by failures in a row or by a pace far from that of peers (`outliers.py`, `pace.py`), and eases in what comes back
(`ramp.py`). Its decisions are gates and shares of weight in the ledger, so that routing needs to ask nobody.

* what a backend says: ``backend`` when it joins, ``load`` with each beat; ``member`` is what is known of it
* who may join: ``claims`` (to names and addresses), ``drains`` (whom the operator wants to rest)
* who is remembered: ``parking`` (leases of those whose connection closed), ``models`` (that were offered lately)
* ``stall`` tells this process's own standing still from everybody's silence
* ``breaker_limits`` are the breaker's numbers, ``panics`` says when its ejections are not heeded

Nothing here reads a clock, draws a random number or does I/O: `now` is always an argument, in monotonic seconds.
"""
