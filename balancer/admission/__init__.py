"""Who may come in, who waits, who is refused. Pure.

* ``keys``      which tenant a client's key names
* ``models``    which model a request means
* ``aliases``   what the operator says of models' names; ``canary``: shares of them, ``fallback``: who answers instead
* ``queue``     the bounded queue of requests that no backend has a slot for yet
* ``fairness``  whose turn it is in it
"""
