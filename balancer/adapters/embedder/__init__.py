"""Sentence embeddings for the cache, made by a child process so that neither loading nor computing stalls the daemon.

``process``  the daemon's side: starts the child, batches texts, hands out vectors, restarts it when it dies
``child``    that process on the event loop: pipes, last words, end
``waiting``  who waits for a vector, and in what order
``estimate`` how long a vector would take, learned from the batches before
``frames``   bytes on the pipes between the two
``worker``   the child: reads texts, writes vectors
``model``    the embedding model, by default the packaged all-MiniLM-L6-v2, offline: whole texts only, tokens chosen
``bert``     computes it by hand, at a third of the library's time; ``layout`` and ``linear`` are its parts
``library``  sentence-transformers computes any other
``passes``   what either gives of a text
"""
