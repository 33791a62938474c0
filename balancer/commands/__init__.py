"""What an operator types: the daemon's options, and the subcommands, which ask a running one or a file. The map:

* ``admin_client``    one request to the admin port, ``--admin``, and the answer for people or programs
* ``status``          ``status``: what it does
* ``daemon``          ``drain``, ``reload``
* ``backends``        ``backends add``, ``remove``: upstreams come and go
* ``explain``         ``explain``: where a request would go, and why
* ``cache``           ``cache explain``, which needs no daemon; ``cache_explain`` what it tells
* ``cache_operations``  ``cache purge`` (and ``purge``), ``forget``, ``wrong``, ``warm``
* ``keys``            ``key add``, ``list``, ``remove``: the file of clients' keys
* ``options``         the options of the daemon itself; ``option_types``  what values they take, ``headings``  how help
  shows them

No room of the daemon imports this, and this imports none of those that hold a running daemon's state.
"""
