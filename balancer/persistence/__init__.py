"""The cache's entries, and what was learned of near answers, over a restart. The map:

* ``keeper``    follows a store, and hands what changed to the file about once a second
* ``file``      SQLite, written by a thread; what can't be read is set aside
* ``rows``      an entry as a row, and back
* ``memory``    what the bound has learned as text, and back
* ``takeover``  a keeper that waits for a file which a predecessor still has

Nothing of a request's way waits for any of it. ``rows`` and ``memory`` are pure: no I/O, no clock.
"""
