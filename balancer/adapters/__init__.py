"""One third-party library each, behind an interface of ours; imported only where it is used.

* ``embedder``  sentence-transformers, in a process of its own
* ``metrics``   prometheus-client
"""
