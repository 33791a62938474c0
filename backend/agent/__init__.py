"""Makes a backend known to balancers and keeps it known: registration, heartbeats, drain, leave.

* ``beats``       pure: which beat goes when and on which way, what counts as lost
* ``backoff``     pure: how long to wait before the next try
* ``identity``    what is registered: the fields, the url as one balancer sees it
* ``link``        one control connection: registration, lines in and out
* ``membership``  one balancer, for ever: connect, register, beat, try again
* ``agent``       all balancers of this backend

For an engine that is not ours (`python -m backend agent`):

* ``fetch``       one small request to it
* ``describe``    pure: what engines say of themselves
* ``discovery``   which engine it is, its models, endpoints, slots
* ``watch``       pure: whether it answers and makes progress, its load for the next beat
* ``poller``      asks it once a second
* ``foreign``     puts these together; signals, drain, leave
"""
