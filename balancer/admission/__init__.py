"""Who may come in, who waits, who is refused. Pure.

* ``models``  which model a request means
* ``queue``   the bounded queue of requests that no backend has a slot for yet
"""
