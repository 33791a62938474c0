"""Makes a backend known to balancers and keeps it known: registration, heartbeats, drain, leave.

* ``beats``       pure: which beat goes when and on which way, what counts as lost
* ``backoff``     pure: how long to wait before the next try
* ``identity``    what is registered: the fields, the url as one balancer sees it
* ``link``        one control connection: registration, lines in and out
* ``membership``  one balancer, for ever: connect, register, beat, try again
* ``agent``       all balancers of this backend
"""
