"""What an operator asks of a running daemon, or of a file, from another process: the subcommands. The map:

* ``admin_client``    one request to the admin port, ``--admin``, and the answer as a table for people
* ``backends``        ``backends add``, ``remove``: upstreams come and go
* ``explain``         ``explain``: where a request would go, and why
* ``cache``           ``cache explain``, which needs no daemon; ``cache_explain`` what it tells
* ``cache_operations``  ``cache purge``, ``forget``, ``wrong``, ``warm``
* ``keys``            ``key add``, ``list``, ``remove``: the file of clients' keys
* ``model_options``   options of the daemon itself that say which models may answer

No room of the daemon imports this, and this imports none of those that hold a running daemon's state.
"""
